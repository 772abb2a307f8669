// A progress line on a terminal, for work that takes longer than about a second. It is drawn from within the work: the replay is synchronous.
import { writeSync } from "node:fs";
import { short } from "../report/numbers.js";
import type { Voice } from "./output.js";

const FIRST_MS = 1000;
const BETWEEN_MS = 200;

export class Progress {
	readonly #show: boolean;
	readonly #what: string;
	readonly #totalBytes: number;
	readonly #began = performance.now();
	#drawn = 0;

	constructor(voice: Voice, what: string, totalBytes: number) {
		this.#show = voice.progress;
		this.#what = what;
		this.#totalBytes = totalBytes;
	}

	/** Events and bytes so far. */
	readonly update = (events: number, bytes: number): void => {
		if (!this.#show) return;
		const now = performance.now();
		if (now - this.#began < FIRST_MS || now - this.#drawn < BETWEEN_MS) return;
		this.#drawn = now;
		const seconds = (now - this.#began) / 1000;
		const parts = [this.#what, `${events} events`, `${short(events / seconds)} events/s`];
		if (bytes > 0) {
			parts.push(`${(bytes / seconds / 1e6).toFixed(0)} MB/s`);
			if (this.#totalBytes > bytes) {
				const left = (seconds * (this.#totalBytes - bytes)) / bytes;
				parts.push(`${Math.round((100 * bytes) / this.#totalBytes)}%`, `${left < 10 ? left.toFixed(1) : Math.round(left)} s left`);
			}
		}
		this.#write(`\r\x1b[K${parts.join(" · ")}`);
	};

	/** Remove the line. */
	done(): void {
		if (this.#drawn > 0) this.#write("\r\x1b[K");
	}

	#write(text: string): void {
		try {
			writeSync(2, text);
		} catch {
			// A terminal that went away needs no progress.
		}
	}
}
