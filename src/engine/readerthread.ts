// The thread of readahead.ts: goes over the blocks of a file from where the replay stands and puts them into the ring, until something is no block.
import { readFileSync } from "node:fs";
import { workerData } from "node:worker_threads";
import { decompress } from "../trace/codec.js";
import { type Block, Scan } from "../trace/scan.js";
import { Input } from "../trace/source.js";
import { BlockType, Codec } from "../trace/wire.js";
import { type ChecksumBuffer, checksumBuffer } from "./checksum.js";
import type { ThreadTask } from "./readahead.js";
import { Ring, SLOT_BYTES, ThreadState } from "./ring.js";

/** Processor time of this thread in ns; 0 where the system does not tell. */
function threadNs(): number {
	try {
		return Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[0]);
	} catch {
		return 0;
	}
}

/** Read a payload, check it, and put it into the ring. @returns false where the replay must see for itself */
function fetch(input: Input, block: Block, ring: Ring, buffer: ChecksumBuffer): boolean {
	if (block.type !== BlockType.events || Math.max(block.rawLength, block.storedLength) > SLOT_BYTES) return false;
	const stored = buffer.room(block.storedLength);
	if (input.read(stored, block.payloadOffset) < stored.length || buffer.checksum(block.storedLength) !== block.payloadCrc32c) return false;
	try {
		ring.room(block.rawLength).set(block.codec === Codec.none ? stored : decompress(block.codec, stored, block.rawLength, ""));
		return true;
	} catch {
		return false;
	}
}

function readOn({ file, limits, module }: ThreadTask, ring: Ring): void {
	const buffer = checksumBuffer(module);
	const began = threadNs();
	const first = ring.replayAt;
	ring.threadAt = first;
	ring.setState(ThreadState.reading);
	// The replay may be over before the thread is up, and its file closed.
	if (ring.stopped) return;
	const input = new Input(file);
	for (const step of new Scan(input, limits, first).steps()) {
		if (step.kind !== "block" || ring.stopped) break;
		// A block that the replay has passed meanwhile.
		if (ring.replayAt <= step.block.offset) {
			if (!ring.waitForRoom()) break;
			ring.produce(step.block, fetch(input, step.block, ring, buffer));
		}
		ring.threadAt = step.block.end;
	}
	ring.busyNs = threadNs() - began;
}

const task = workerData as ThreadTask;
const ring = new Ring(task.ring);
try {
	readOn(task, ring);
} finally {
	ring.setState(ThreadState.ended);
}
