// The end of a command. Node's exit waits for V8's compiler threads; one of those may be waiting for a garbage collection, which only the main
// thread can do, and then neither ever ends (seen with V8 11.3, Node 20: one `compare --json` in four). A collection before the end serves those
// that wait, and leaves room for those that still run.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Collect garbage, so that no compiler thread has to ask for it while the process exits. */
export function collectBeforeExit(): void {
	setFlagsFromString("--expose-gc");
	const collect: unknown = runInNewContext("gc");
	if (typeof collect === "function") collect();
}
