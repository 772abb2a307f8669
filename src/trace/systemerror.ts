// Errors of the system as the user hears them, and calls that have to be made again. Of its own a file: a page in a browser reads traces too.
import { LimitError, MmreplayError, UsageError } from "../errors.js";

function systemCode(error: unknown): string | undefined {
	return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** A system error of an open or a write, as what the user is told. EPIPE stays what it is: a closed pipe ends quietly. */
export function fileError(error: unknown, path: string): unknown {
	const code = systemCode(error);
	if (error instanceof MmreplayError || code === undefined || code === "EPIPE") return error;
	if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG")
		return new LimitError(`no room for the file: ${code}`, { where: path, cause: error });
	const reasons: Record<string, string> = {
		ENOENT: "no such file or directory",
		EACCES: "permission denied",
		EISDIR: "is a directory",
		ENOTDIR: "a part of the path is not a directory",
	};
	return new UsageError(`cannot use the file: ${reasons[code] ?? code}`, { where: path, cause: error });
}

/** Try again where a non-blocking descriptor (a pipe that another program set so) is not ready. */
export function retryWhileBusy<T>(attempt: () => T): T {
	for (;;) {
		try {
			return attempt();
		} catch (error) {
			const code = systemCode(error);
			if (code !== "EAGAIN" && code !== "EINTR") throw error;
			Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
		}
	}
}
