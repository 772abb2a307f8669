// Runs of plain accesses that hit the first level of every strategy's TLB, or come from the second or a walk without an exit (refill.ts). The event loop
// takes whatever else there is; a record that turns out to be something else is left to it, with what was done under some strategies already, where
// doing it again does nothing.
import { countFastL2Hit, countFastWalk } from "./counters";
import { opAt, opOf, opWide, pageAt } from "./decode";
import { useLine } from "./order";
import { anyLeafOf, Root, recordIn } from "./pagetable";
import { Refill, refillLine, setPlace, simple, tagOfL2 } from "./refill";
import { ROW_SHIFT, Row, ready, refreshRows, rows } from "./rows";
import { LINE_SHIFT } from "./shape";
import { anyLeafHuge, hugeLeavesOf } from "./spte";
import { l1Bytes, l1Shape } from "./tlb";
import { mostlyMisses, touchedRecord } from "./touch";
import { matchesWith } from "./ways";
import { exists, strategies, tlbOf, Vcpu } from "./world";

/** The strategies under which the record that `passPlain` stopped at is still to be replayed; 0: all, and it may be no access at all. */
export let left: u32 = 0;

/** From `from` on: the first record before `end` that is left to the event loop, see `left`; `end` if there is none. */
export function passPlain(from: u32, end: u32): u32 {
	left = 0;
	if (!ready) return from;
	refreshRows();
	let index = from;
	// Where most miss, a loop for hits alone is no use.
	if (!mostlyMisses) index = passHits(index, end);
	while (index < end && simple && takeMissed(index)) {
		index++;
		if (!mostlyMisses) index = passHits(index, end);
	}
	return index;
}

function passHits(from: u32, end: u32): u32 {
	if (opWide) return strategies == 1 ? pass(from, end, true, 1) : pass(from, end, true, strategies);
	return strategies == 1 ? pass(from, end, false, 1) : pass(from, end, false, strategies);
}

/** The first record that misses the first level of some strategy. No calls in the loop: around one, everything would be kept in memory. */
// @ts-ignore: decorator
@inline
function pass(from: u32, end: u32, wide: bool, lanes: u32): u32 {
	const ops = opAt;
	const pages = pageAt;
	const first = rows;
	const table = l1Shape.table;
	const shift = <u32>l1Shape.shift;
	const mask: u32 = (1 << shift) - 1;
	const stride = l1Bytes;
	for (let index = from; index < end; index++) {
		const op: u32 = wide ? load<u32>(ops + ((<usize>index) << 2)) : load<u8>(ops + index);
		const row = first + ((<usize>op) << ROW_SHIFT);
		const page = load<u32>(pages + ((<usize>index) << 2));
		let at = <usize>load<u32>(row) + ((<usize>(page & mask)) << LINE_SHIFT);
		const tag = (page >> shift) + load<u32>(row, Row.tag);
		const need = load<u32>(row, Row.need);
		if (lanes == 1) {
			const way = matchesWith(at, tag, need);
			if (way == 0) return index;
			useLine(table, at, way);
		} else {
			for (let lane: u32 = 0; lane < lanes; lane++) {
				const way = matchesWith(at, tag, need);
				if (way == 0) return index;
				useLine(table, at, way);
				at += stride;
			}
		}
	}
	return end;
}

/** An access that misses the first level of some strategy. False if some are left, for whatever reason. */
function takeMissed(index: u32): bool {
	const row = rows + ((<usize>opOf(index)) << ROW_SHIFT);
	const vcpu = changetype<Vcpu>(<usize>load<u32>(row, Row.vcpu));
	if (!exists(vcpu)) return false;
	const page = load<u32>(pageAt + ((<usize>index) << 2));
	const tag = (page >> <u32>l1Shape.shift) + load<u32>(row, Row.tag);
	const need = load<u32>(row, Row.need);
	const busy = load<u32>(row, Row.busy);
	const gfn = load<u64>(row, Row.page) + page;
	let line = vcpu.l1 + ((<usize>page & (<usize>l1Shape.sets - 1)) << LINE_SHIFT);
	let sptes = touchedRecord(index);
	let huge: u32 = 0;
	if (sptes == 0 || anyLeafHuge) {
		const root = changetype<Root>(<usize>load<u32>(row, Row.root));
		const leaf = anyLeafOf(root, gfn);
		// Without a leaf these are words of 0.
		sptes = leaf == 0 ? 0 : recordIn(root, leaf, gfn);
		huge = leaf == 0 ? 0 : hugeLeavesOf(leaf);
	}
	const place = setPlace(gfn);
	const tag2 = tagOfL2(gfn);
	let missed: u32 = busy;
	for (let lane: u32 = 0; lane < strategies; lane++) {
		if (((busy >> lane) & 1) == 0) {
			const way = matchesWith(line, tag, need);
			if (way != 0) useLine(l1Shape.table, line, way);
			else {
				const spteAt: usize = ((huge >> lane) & 1) != 0 ? 0 : sptes + ((<usize>lane) << 2);
				const result = refillLine(tlbOf(vcpu, lane), lane, tag, place, tag2, need, line, spteAt);
				if (result == Refill.byWalk) countFastWalk(lane);
				else if (result == Refill.fromL2) countFastL2Hit(lane);
				else missed |= 1 << lane;
			}
		}
		line += l1Bytes;
	}
	left = missed;
	return missed == 0;
}
