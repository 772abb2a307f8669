// The one failure of a replay: its code, where in the block, and a number that belongs to it. The host reads it through the exports.
import { Failure } from "./generated/constants";

export let failure: u32 = Failure.none;
export let failureDetail: u64 = 0;
/** Byte of the payload. */
export let failureAt: u32 = 0;

export function clearFailure(): void {
	failure = Failure.none;
	failureDetail = 0;
	failureAt = 0;
}

/** Note what is wrong with the input at a byte of the payload; false, for the caller to pass on. */
export function refuse(code: u32, detail: u64, at: u32): bool {
	failure = code;
	failureDetail = detail;
	failureAt = at;
	return false;
}

/** Out of a limit in the middle of an operation: the host catches the trap and reads the code. This world is then unusable. */
export function giveUp(code: u32, detail: u64): void {
	failure = code;
	failureDetail = detail;
	unreachable();
}
