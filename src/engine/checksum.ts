// The engine's CRC-32C for whoever writes many bytes: with SIMD it is several times faster than src/trace/crc32c.ts, whose results it has.
import { DEFAULT_MACHINE } from "../machine/machine.js";
import { STRATEGIES } from "../strategies/index.js";
import { Engine } from "./engine.js";

/** Checksums of bytes anywhere, which are copied to an engine of their own. @throws LimitError beyond the memory */
export function engineChecksum(): (bytes: Uint8Array) => number {
	const engine = new Engine();
	engine.begin({ strategies: STRATEGIES.slice(0, 1), machine: DEFAULT_MACHINE, copiesRecorded: false, check: false });
	return (bytes) => {
		engine.payload(bytes.length, "a checksum").set(bytes);
		return engine.checksum(bytes.length);
	};
}
