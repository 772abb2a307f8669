// Options that several commands share.
import type { Command } from "commander";
import type { CaptureOptions } from "./capture.js";

export interface VoiceOptions {
	quiet?: boolean;
	color?: boolean;
}

export function withVoice(command: Command): Command {
	return command.option("-q, --quiet", "no progress and no warnings").option("--no-color", "no colours, as with NO_COLOR set");
}

/** How a table is laid out. */
export interface TableFlags {
	wide?: boolean;
	columns?: string;
}

export interface CaptureFlags extends VoiceOptions {
	kernel?: string;
	capturedStrategy?: string;
	lenient?: boolean;
}

/** For commands that import a capture on the way. */
export function withCapture(command: Command): Command {
	return command
		.option("--kernel <release>", "kernel release that was captured")
		.option("--captured-strategy <name>", "strategy that the captured kernel ran, instead of what its events show")
		.option("--lenient", "take what can be taken of a damaged capture");
}

export function captureOptions({ kernel, capturedStrategy, lenient }: CaptureFlags): CaptureOptions {
	return { kernel, capturedStrategy, lenient };
}
