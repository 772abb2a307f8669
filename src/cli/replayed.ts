// A replay with its progress on the terminal.
import { type HeldOptions, type Replayed, replayHeld as replay } from "../report/held.js";
import type { OpenedInput } from "./input.js";
import { type Voice, warn } from "./output.js";
import { Progress } from "./progress.js";

/** @throws BadInputError, LimitError */
export function replayHeld(input: OpenedInput, options: HeldOptions, voice: Voice): Replayed {
	const progress = new Progress(voice, input.path, input.trace.bytes ?? 0);
	try {
		const replayed = replay(input, options, progress.update);
		const { whole } = replayed.result;
		if (whole !== undefined) warn(voice, `one thread replays ${input.path}: ${whole}`);
		return replayed;
	} finally {
		progress.done();
	}
}
