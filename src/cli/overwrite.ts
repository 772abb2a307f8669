// Outputs that would destroy what a command reads, or that cannot share standard output.
import { realpathSync, statSync } from "node:fs";
import { UsageError } from "../errors.js";

/** The file behind a path, whatever it is called; the path itself where there is none yet. */
function identity(path: string): string {
	try {
		const found = statSync(path);
		return found.isFile() ? `${found.dev}:${found.ino}` : realpathSync(path);
	} catch {
		return path;
	}
}

/**
 * @param document standard output already takes a document (--json)
 * @throws UsageError where an output is one of the inputs, two outputs are one file, or two want standard output
 */
export function expectOwnOutputs(inputs: readonly string[], outputs: readonly (string | undefined)[], document = false): void {
	const wanted = outputs.filter((path) => path !== undefined);
	const read = new Set(inputs.filter((path) => path !== "-").map(identity));
	const written = new Set<string>();
	let standard = document ? 1 : 0;
	for (const path of wanted) {
		if (path === "-") {
			if (++standard > 1) throw new UsageError("standard output can take one document only", { where: "-", hint: "name a file" });
			continue;
		}
		const file = identity(path);
		if (read.has(file)) throw new UsageError("the output would overwrite an input", { where: path, hint: "name another file" });
		if (written.has(file)) throw new UsageError("two outputs are one file", { where: path });
		if (!path.startsWith("/dev/")) written.add(file);
	}
}
