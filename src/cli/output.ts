// Where a command's words go: data to standard output, diagnostics to standard error (cli.md, conventions).
import { fstatSync, statSync, writeSync } from "node:fs";
import { devNull } from "node:os";
import { retryWhileBusy } from "../trace/sink.js";

/** How a command speaks, from its options and surroundings. */
export interface Voice {
	/** No progress and no diagnostics but errors. */
	readonly quiet: boolean;
	/** Standard output takes escape codes. */
	readonly color: boolean;
	/** Columns of the terminal that standard output is; undefined where it is none: then tables are TSV. */
	readonly columns: number | undefined;
	/** The terminal shows more than ASCII. */
	readonly unicode: boolean;
	/** Standard error is a terminal, and nobody asked for quiet. */
	readonly progress: boolean;
}

function writeAll(fd: number, content: string | Uint8Array): void {
	const bytes = typeof content === "string" ? Buffer.from(content) : content;
	for (let at = 0; at < bytes.length; ) at += retryWhileBusy(() => writeSync(fd, bytes, at, bytes.length - at));
}

/** Written at once, so that a closed pipe shows here (EPIPE, which main.ts ends quietly) and nothing is left when the process exits. */
export function writeOut(content: string | Uint8Array): void {
	writeAll(1, content);
}

/** A line of diagnostics. Nobody may be listening: then it is lost. */
export function writeError(line: string): void {
	try {
		writeAll(2, `${line}\n`);
	} catch {
		// There is no third place to say it.
	}
}

/** Exactly one document. */
export function writeJson(document: object): void {
	writeOut(`${JSON.stringify(document, null, "\t")}\n`);
}

/** Asked without process.stdout where it can be no terminal: that loads Node's streams and sockets, a tenth of a start. */
function isTerminal(fd: 1 | 2): boolean {
	try {
		const open = fstatSync(fd);
		if (!open.isCharacterDevice() || open.rdev === statSync(devNull).rdev) return false;
	} catch {
		return false;
	}
	return (fd === 1 ? process.stdout : process.stderr).isTTY === true;
}

/** @param options as commander gives them: `color` is false after --no-color */
export function voiceOf(options: { quiet?: boolean | undefined; color?: boolean | undefined }): Voice {
	const { env } = process;
	const terminal = isTerminal(1);
	const quiet = options.quiet === true;
	const noColor = options.color === false || (env.NO_COLOR ?? "") !== "" || env.TERM === "dumb";
	return {
		quiet,
		color: terminal && !noColor,
		columns: terminal ? process.stdout.columns || 80 : undefined,
		unicode: /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || "") && env.TERM !== "linux",
		progress: !quiet && (env.CI ?? "") === "" && isTerminal(2),
	};
}

export function warn(voice: Voice, what: string): void {
	if (!voice.quiet) writeError(`mmreplay: warning: ${what}`);
}
