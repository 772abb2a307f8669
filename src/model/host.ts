// Accesses by threads of the VMM's process through the primary page table, each with the TLB of its CPU (kernel.md 1.2, 1.10).
import type { Agent } from "../trace/record.js";
import { breakOrReuse } from "./cow.js";
import { presentAfterFault } from "./fault.js";
import { HUGE_PAGES, type Mm, type Pte } from "./mm.js";
import { deferStore } from "./windows.js";
import type { World } from "./world.js";

/** A host thread through the primary PTE: its own TLB, and do_wp_page or a none -> present fault where that fails. */
export function hostAccess(world: World, agent: Agent, page: number, write: boolean, hint: number): void {
	const mm = world.mm(agent.mm);
	const { tlb, walker } = world.hostCpu(agent.mm, agent.thread);
	const hit = tlb.lookup(0, page, write);
	world.count(hit.level === 1 ? "hostTlb.l1Hit" : "hostTlb.l1Miss");
	if (hit.level === 2) world.count("hostTlb.l2Hit");
	if (hit.level === 0) {
		world.count("hostTlb.l2Miss");
		const { references, pscHits } = walker.walkNative(page, world.hostWalk(mm.isHuge(page)));
		world.count("hostWalk.count");
		world.count("hostWalk.memoryReferences", references);
		world.count("hostWalk.pscHits", pscHits);
		const pte = mm.get(page);
		if (pte === undefined || (write && !pte.writable)) world.count("hostFaults");
		const found = pte ?? presentAfterFault(world, mm, page, write);
		if (found !== undefined && write && !found.writable && mm.writingAllowed(page)) breakOrReuse(world, mm, page, found, hint);
		const now = mm.get(page);
		if (now === undefined || (write && !now.writable)) return;
		tlb.flushPage(0, page);
		if (mm.isHuge(page)) tlb.fillHuge(0, page, ...hugeEntry(mm, page));
		else tlb.fill(0, page, now.frame.id, now.writable);
	}
	if (write) {
		const pte = mm.get(page);
		if (pte !== undefined) {
			pte.dirty = true;
			if (!deferStore(world, mm, page)) world.frames.write(pte.frame);
		}
	}
}

/** What a TLB entry of a huge PMD holds: its pages, and the right to write if all of them have it. */
function hugeEntry(mm: Mm, page: number): [frames: number[], writable: boolean] {
	const ptes: (Pte | undefined)[] = [];
	for (let at = page - (page % HUGE_PAGES); ptes.length < HUGE_PAGES; at++) ptes.push(mm.get(at));
	return [ptes.map((pte) => pte?.frame.id ?? 0), ptes.every((pte) => pte?.writable === true)];
}
