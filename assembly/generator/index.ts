// Records of generated workloads, block by block, as columns (columns.ts). What may follow what, so that a trace is one that a host could have had:
// kernel.md 1.3 to 1.5 (merges, breaks) and 1.14 (discarded pages). src/generate/stream.ts has the words and the parameters.
//
// A record begins with a draw that says what it is, most of all an access; its vCPU and whether it writes are bits of a second draw, its page is one to
// three more. The draws of a record are read from where they lie: their address is a local here, and `next` (draws.ts) for whatever is called.
import { Access, AGENT_SHIFT, Code, NotifyEvent, OpFlag, Pattern, Point, ZIPF_COLUMN_BYTES } from "../generated/constants";
import { clear, columnBytes, columnsAt, opEnd, operation, opsEndAt, page as pageColumnStart, record, value, varint } from "./columns";
import { ahead, below, draw, drawOn, next, scaled, seed, share as shareOf } from "./draws";
import { drawFrom, forget, isShared, marksAt, RING_BYTES, remember, share, startRing, takeFrom, unshare } from "./places";

export {
	argumentBytes,
	argumentColumn,
	deltaBytes,
	deltaColumn,
	differences,
	opBytes,
	opColumn,
	operationTotals,
	pageColumn,
} from "./columns";

/** Draws of one record, at most, and some. */
// @ts-ignore: decorator
@inline
const MOST_DRAWS: usize = 16;
// @ts-ignore: decorator
@inline
const MOST_ZAPPED: u32 = 16;
// @ts-ignore: decorator
@inline
const WORD: f64 = 4294967296.0;

let pattern: u32 = 0;
let vms: u32 = 0;
/** Of each VM, and of all. */
let vcpus: u32 = 0;
let guests: u32 = 0;
let pages: u32 = 0;
let hot: u32 = 0;
let contents: u32 = 0;
/** Thresholds of 32-bit draws: fractions of all records, each with those before it. */
let toMerge: u64 = 0;
let toBreak: u64 = 0;
let toHost: u64 = 0;
let rare: u64 = 0;
let toCold: u64 = 0;
/** Of 16-bit draws. */
let writing: u32 = 0;

/** Of each vCPU a word: first page of what it has to itself; first place of its VM; the page where its scan stands. */
let regions: usize = 0;
let firsts: usize = 0;
let cursors: usize = 0;
let zipf: usize = 0;
let zipfShare: f64 = 0;
/** Rings of places: written lately, merged lately. */
let written: usize = 0;
let merged: usize = 0;

/** VMs whose memslot is still to come, and the second record of a merge whose first one ended a block. */
let memslots: u32 = 0;
let replacing: bool = false;
let replaced: u32 = 0;
let content: u32 = 0;
/** Pages of all VMs that are still to be written once, and those that were. */
let cold: u32 = 0;
let warmed: u32 = 0;

/** Agents: guests by VM and vCPU, then of each VM its mm, a thread of its host, and itself. */
// @ts-ignore: decorator
@inline
function mmOf(vm: u32): u32 {
	return guests + vm;
}

// @ts-ignore: decorator
@inline
function hostOf(vm: u32): u32 {
	return guests + vms + vm;
}

// @ts-ignore: decorator
@inline
function vmOf(vm: u32): u32 {
	return guests + vms + vms + vm;
}

// @ts-ignore: decorator
@inline
function aligned(at: usize): usize {
	return (at + 63) & ~63;
}

// @ts-ignore: decorator
@inline
function word(table: usize, index: u32): u32 {
	return load<u32>(table + ((<usize>index) << 2));
}

/**
 * How large it all is: before `fractions` and `start`. `most`: records of a block.
 * @returns where the columns of Zipf's law go, 0 where memory does not do
 */
export function sizes(how: u32, ofVms: u32, ofVcpus: u32, ofPages: u32, ofHot: u32, ofContents: u32, ofZipf: u32, most: u32): usize {
	pattern = how;
	vms = ofVms;
	vcpus = ofVcpus;
	guests = ofVms * ofVcpus;
	pages = ofPages;
	hot = ofHot;
	contents = ofContents;
	zipfShare = shareOf(ofZipf);
	const perGuest = aligned((<usize>guests) << 2);
	written = aligned(__heap_base);
	merged = aligned(written + RING_BYTES);
	regions = aligned(merged + RING_BYTES);
	firsts = regions + perGuest;
	cursors = firsts + perGuest;
	zipf = cursors + perGuest;
	const marks = aligned(zipf + <usize>ofZipf * ZIPF_COLUMN_BYTES);
	const columns = aligned(marks + ((<usize>((vms * pages + 31) >>> 5)) << 2));
	// A merge at the very end of a block has a record behind it until the next one begins.
	const end = <u64>columns + columnBytes(<usize>most);
	const needed = <i32>((end + 0xffff) >> 16) - memory.size();
	if (end > 0xffff_0000 || (needed > 0 && memory.grow(needed) < 0)) return 0;
	marksAt(marks);
	columnsAt(columns, most);
	return zipf;
}

export function fractions(merges: f64, breaks: f64, host: f64, zaps: f64, colds: f64, writes: f64): void {
	toMerge = <u64>(merges * WORD);
	toBreak = <u64>((merges + breaks) * WORD);
	toHost = <u64>((merges + breaks + host) * WORD);
	rare = <u64>((merges + breaks + host + zaps) * WORD);
	toCold = <u64>(colds * WORD);
	writing = <u32>(writes * 65536.0);
}

/** `region`: pages that a vCPU has to itself. `warm`: every page is written once before anything else. */
export function start(seedLow: u32, seedHigh: u32, region: u32, warm: bool): void {
	seed(seedLow, seedHigh);
	startRing(written);
	startRing(merged);
	for (let guest: u32 = 0; guest < guests; guest++) {
		const at = (<usize>guest) << 2;
		const vcpu = guest % vcpus;
		store<u32>(regions + at, <u32>((<u64>vcpu * region) % pages));
		store<u32>(firsts + at, (guest / vcpus) * pages);
		store<u32>(cursors + at, <u32>((<u64>vcpu * pages) / vcpus));
	}
	memslots = vms;
	replacing = false;
	cold = warm ? vms * pages : 0;
	warmed = 0;
}

/** The next records, as columns. */
export function take(count: u32): void {
	clear();
	let at: u32 = 0;
	for (; memslots > 0 && at < count; at++, memslots--) {
		operation(at, vmOf(vms - memslots), 0, Code.memslot);
		value(0);
		value(0);
		value(0);
		value(pages);
		value(0);
	}
	if (replacing && at < count) replace(at++);
	for (; cold > 0 && at < count; at++, cold--) warmUp(at);
	if (at < count) accesses(at, count);
}

/** Write a page for the first time, in order; their places are as good as any other's for a merge. */
function warmUp(at: u32): void {
	const vm = warmed % vms;
	const place = warmed / vms;
	record(at, Access.guestWrite, vm * vcpus + (place % vcpus), place % pages);
	warmed++;
}

/** Accesses, and what is drawn between them. */
function accesses(first: u32, count: u32): void {
	const remembers = toMerge > 0;
	const mask: u32 = 65536 % guests == 0 ? guests - 1 : 0;
	const masks = mask != 0 || guests == 1;
	let at = first;
	while (at < count) {
		const last = ahead(MOST_DRAWS) - (MOST_DRAWS << 2);
		let from = next;
		let op = opEnd;
		while (at < count && from <= last) {
			const drawn = load<u32>(from);
			from += 4;
			if (<u64>drawn < rare) {
				drawOn(from);
				opsEndAt(op);
				const after = between(drawn, at, count);
				op = opEnd;
				from = next;
				if (after != at) {
					at = after;
					continue;
				}
			}
			const bits = load<u32>(from);
			from += 4;
			let guest = (bits >>> 16) & mask;
			if (!masks) {
				guest = scaled(load<u32>(from), shareOf(guests));
				from += 4;
			}
			const write: u32 = (bits & 0xffff) < writing ? 1 : 0;
			let how = pattern;
			let target: u32 = 0;
			if (how == Pattern.mixed) {
				const which = load<u32>(from) & 15;
				from += 4;
				how = which < 10 ? Pattern.zipf : which < 14 ? Pattern.scan : Pattern.uniform;
			}
			if (how == Pattern.zipf) {
				const column = zipf + <usize>scaled(load<u32>(from), zipfShare) * ZIPF_COLUMN_BYTES;
				// An address, not a branch: half of them would be foretold wrongly.
				const alias: usize = load<u32>(from, 4) < load<u32>(column) ? 4 : 8;
				from += 8;
				target = within(word(regions, guest) + load<u32>(column + alias));
			} else if (how == Pattern.hits) {
				if (toCold > 0) {
					const colder = <u64>load<u32>(from) < toCold;
					from += 4;
					target = colder ? scaled(load<u32>(from), shareOf(pages)) : within(word(regions, guest) + scaled(load<u32>(from), shareOf(hot)));
				} else target = within(word(regions, guest) + scaled(load<u32>(from), shareOf(hot)));
				from += 4;
			} else if (how == Pattern.uniform) {
				target = scaled(load<u32>(from), shareOf(pages));
				from += 4;
			} else {
				const cursor = cursors + ((<usize>guest) << 2);
				target = load<u32>(cursor);
				store<u32>(cursor, target + 1 == pages ? 0 : target + 1);
			}
			op = varint(op, (Access.guestRead + (Access.guestWrite - Access.guestRead) * write) | (guest << AGENT_SHIFT));
			store<u32>(pageColumnStart + ((<usize>at) << 2), target);
			at++;
			if (!remembers) continue;
			const place = word(firsts, guest) + target;
			unshare(place, write);
			if ((bits & 0xf0) == 0 && write == 1) remember(written, place);
		}
		drawOn(from);
		opsEndAt(op);
	}
}

// @ts-ignore: decorator
@inline
function within(page: u32): u32 {
	return page < pages ? page : page - pages;
}

/** What is not an access of a guest, by its draw. @returns the record after it: the same one where there is nothing to do */
function between(drawn: u32, at: u32, count: u32): u32 {
	const drew = <u64>drawn;
	if (drew < toMerge) return merge(at, count);
	if (drew < toBreak) return breakMerged(at);
	if (drew < toHost) return host(at);
	return zap(at);
}

/** ksmd finds a page that was written a while ago equal to another: write_protect_page, replace_page. */
function merge(at: u32, count: u32): u32 {
	const place = drawFrom(written);
	// ksmd passes over its own pages.
	if (place < 0 || isShared(place)) return at;
	const page = <u32>place % pages;
	const vm = (<u32>place - page) / pages;
	content = 1 + below(contents);
	operation(at, mmOf(vm), page, Code.ksmWriteProtect);
	value(Point.whole);
	value(0);
	value(OpFlag.kpageGiven);
	remember(merged, place);
	share(place);
	replaced = place;
	if (at + 1 < count) {
		replace(at + 1);
		return at + 2;
	}
	replacing = true;
	return at + 1;
}

function replace(at: u32): void {
	const page = replaced % pages;
	operation(at, mmOf((replaced - page) / pages), page, Code.ksmReplace);
	value(Point.whole);
	value(0);
	value(0);
	value(content);
	replacing = false;
}

/** A guest writes to what was merged last. */
function breakMerged(at: u32): u32 {
	const place = takeFrom(merged);
	if (place < 0 || !isShared(place)) return at;
	unshare(place, 1);
	const page = <u32>place % pages;
	const vm = (<u32>place - page) / pages;
	record(at, Access.guestWrite, vm * vcpus + below(vcpus), page);
	return at + 1;
}

function host(at: u32): u32 {
	const writes = (draw() & 3) == 0;
	const vm = below(vms);
	const page = below(pages);
	if (writes) unshare(vm * pages + page, 1);
	record(at, writes ? Access.hostWrite : Access.hostRead, hostOf(vm), page);
	return at + 1;
}

function zap(at: u32): u32 {
	const page = below(pages);
	const count = min<u32>(1 + below(MOST_ZAPPED), pages - page);
	const vm = below(vms);
	const from = vm * pages + page;
	forget(written, from, count);
	forget(merged, from, count);
	for (let place = from; place < from + count; place++) unshare(place, 1);
	operation(at, mmOf(vm), page, Code.zap);
	value(Point.whole);
	value(0);
	value(count);
	value(NotifyEvent.clear);
	return at + 1;
}
