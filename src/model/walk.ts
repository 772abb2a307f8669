// One translation of a guest's access: TLB, then the two-dimensional walk, whose last entry is the SPTE (docs/machines.md).
import type { Frame } from "./frames.js";
import { observe } from "./oracle.js";
import { cachedRight, permits, touch } from "./spte.js";
import type { Vcpu, World } from "./world.js";

/** True if the access went through. Checks what it read or wrote against the primary page (I-1, I-2, I-3). */
export function translate(world: World, vcpu: Vcpu, as: number, gfn: number, write: boolean): boolean {
	const hit = vcpu.tlb.lookup(as, gfn, write);
	if (hit.level === 1) world.count("tlb.l1Hit");
	else world.count("tlb.l1Miss");
	if (hit.level === 2) world.count("tlb.l2Hit");
	if (hit.level === 0) world.count("tlb.l2Miss");
	const frame = hit.level === 0 ? walk(world, vcpu, as, gfn, write) : world.frames.get(hit.frame);
	if (frame === null) return false;
	observe(world, vcpu, as, gfn, frame, write);
	return true;
}

/** The walk fills the TLB; null where it ends in an EPT violation, which takes along what is cached of the page (Intel SDM 29.4.3.1). */
function walk(world: World, vcpu: Vcpu, as: number, gfn: number, write: boolean): Frame | null {
	const root = vcpu.vm.root(as);
	const spte = root.peek(gfn);
	const huge = spte?.huge === true;
	const permitted = spte !== undefined && permits(world.host, spte, write);
	const { references, pscHits } = vcpu.walker.walk(gfn, world.guestWalk(huge), world.hostWalk(huge), permitted);
	world.count("walk.count");
	world.count("walk.memoryReferences", references);
	world.count("walk.pscHits", pscHits);
	if (!permitted || spte.frame === null) {
		vcpu.tlb.flushPage(as, gfn);
		return null;
	}
	touch(world.host, spte, write);
	if (huge && world.options.guestPageSize !== "4k") fillHuge(world, vcpu, as, gfn);
	else vcpu.tlb.fill(as, gfn, spte.frame.id, cachedRight(world.host, spte));
	return spte.frame;
}

/** One entry for the 2 MiB leaf, writable if all of it is. */
function fillHuge(world: World, vcpu: Vcpu, as: number, gfn: number): void {
	const sptes = vcpu.vm.root(as).leaf(gfn);
	const frames = sptes.map(({ frame }) => frame?.id ?? 0);
	vcpu.tlb.fillHuge(
		as,
		gfn,
		frames,
		sptes.every((spte) => cachedRight(world.host, spte)),
	);
}
