// The engine's CRC-32C for whoever reads or writes many bytes: with SIMD it is several times faster than src/trace/crc32c.ts, whose results it has.
import { DEFAULT_MACHINE } from "../machine/machine.js";
import { STRATEGIES } from "../strategies/index.js";
import { defaultBuild, Engine } from "./engine.js";

/** Bytes in an engine of their own, and their checksum. */
export interface ChecksumBuffer {
	/** Room for so many; valid until the next call. @throws LimitError beyond the memory */
	room(length: number): Uint8Array;
	/** Of the first so many. */
	checksum(length: number): number;
}

/** `module`: the compiled engine, where there is one already. */
export function checksumBuffer(module?: WebAssembly.Module): ChecksumBuffer {
	const engine = new Engine(defaultBuild(), module);
	engine.begin({ strategies: STRATEGIES.slice(0, 1), machine: DEFAULT_MACHINE, copiesRecorded: false, check: false });
	return { room: (length) => engine.payload(length, "a checksum"), checksum: (length) => engine.checksum(length) };
}

/** Checksums of bytes anywhere, which are copied to an engine of their own. @throws LimitError beyond the memory */
export function engineChecksum(): (bytes: Uint8Array) => number {
	const buffer = checksumBuffer();
	return (bytes) => {
		buffer.room(bytes.length).set(bytes);
		return buffer.checksum(bytes.length);
	};
}
