// Random numbers, many at a time: sfc32 (Chris Doty-Humphrey's PractRand), as src/generate/random.ts has it. A draw hangs on the one before it, what is
// done with a draw does not: drawn ahead, the two overlap.

/** Draws ahead, at most. */
// @ts-ignore: decorator
@inline
const DRAWS: usize = 2048;
/** Draws thrown away at the start. */
// @ts-ignore: decorator
@inline
const WARM_UP: usize = 15;

const draws: usize = memory.data(2048 * 4, 64);
// @ts-ignore: decorator
@inline
const END: usize = DRAWS << 2;

let a: u32 = 0;
let b: u32 = 0;
let c: u32 = 0;
let counter: u32 = 0;

/** Address of the next draw. Whoever keeps it in a local stores it back before it calls what draws. */
export let next: usize = 0;

// @ts-ignore: decorator
@inline
export function drawOn(from: usize): void {
	next = from;
}

function fill(from: usize): void {
	let x = a;
	let y = b;
	let z = c;
	let count = counter;
	for (let at = from; at < draws + END; at += 4) {
		const sum = x + y + count++;
		x = y ^ (y >>> 9);
		y = z + (z << 3);
		z = rotl<u32>(z, 21) + sum;
		store<u32>(at, sum);
	}
	a = x;
	b = y;
	c = z;
	counter = count;
}

/** `low`, `high`: the seed's words. */
export function seed(low: u32, high: u32): void {
	a = 0;
	b = low;
	c = high;
	counter = 1;
	fill(draws);
	next = draws + (WARM_UP << 2);
}

/** Where the draws end; at least `least` are ahead then. */
export function ahead(least: usize): usize {
	const left = draws + END - next;
	if (left < least << 2) {
		memory.copy(draws, next, left);
		fill(draws + left);
		next = draws;
	}
	return draws + END;
}

/** 32 bits. */
// @ts-ignore: decorator
@inline
export function draw(): u32 {
	const drawn = load<u32>(next);
	next += 4;
	return drawn;
}

/** A whole number under a count: `part` is the count over 2^32. In floating point, because that is how traces have been made. */
// @ts-ignore: decorator
@inline
export function scaled(drawn: u32, part: f64): u32 {
	return <u32>(<f64>drawn * part);
}

// @ts-ignore: decorator
@inline
export function share(count: u32): f64 {
	return <f64>count * (1.0 / 4294967296.0);
}

// @ts-ignore: decorator
@inline
export function below(count: u32): u32 {
	return scaled(draw(), share(count));
}
