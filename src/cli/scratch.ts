// Files that nobody else sees: what a command makes on the way, and standard input as a file.
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LimitError, MmreplayError } from "../errors.js";
import { fileError } from "../trace/systemerror.js";
import { unwatchTemporary, watchTemporary } from "../trace/temporary.js";

/** A folder of our own, removed as soon as its file is open, or when the process ends before that, by a signal too. */
export class Scratch {
	readonly folder = mkdtempSync(join(tmpdir(), "mmreplay-"));
	readonly file = join(this.folder, "trace.mmtrace");

	constructor() {
		watchTemporary(this.folder);
	}

	readonly remove = (): void => {
		unwatchTemporary(this.folder);
		rmSync(this.folder, { recursive: true, force: true });
	};
}

/** More than this is no capture: it would fill the disk. */
const MAX_SPOOL = 64 * 2 ** 30;
const WHERE = "<stdin>";

/** Standard input as a file: a trace is read more than once, and a capture is told by its first bytes. @throws LimitError where there is too much of it */
export async function spoolInput(target: string): Promise<void> {
	const out = openSync(target, "wx", 0o600);
	let written = 0;
	try {
		for await (const chunk of process.stdin) {
			const bytes = chunk as Uint8Array;
			written += bytes.length;
			if (written > MAX_SPOOL)
				throw new LimitError(`more than ${MAX_SPOOL} bytes of standard input`, { where: WHERE, hint: "name the file instead" });
			for (let at = 0; at < bytes.length; ) at += writeSync(out, bytes, at, bytes.length - at);
		}
	} catch (error) {
		throw fileError(error, `${WHERE}, in ${tmpdir()}`);
	} finally {
		closeSync(out);
	}
}

/** An error about the file that standard input was put into, as one about standard input. */
export function asOfStandardInput(error: unknown, file: string): unknown {
	if (!(error instanceof MmreplayError)) return error;
	const said = (text: string | undefined): string | undefined => text?.replaceAll(file, WHERE);
	return new MmreplayError(error.exitCode, said(error.what) ?? "", {
		where: said(error.where),
		hint: said(error.hint),
		cause: error.cause,
	});
}
