// The oracle (kernel.md section 6): what an access meets, and what an operation leaves behind. docs/model.md lists which rule is checked when.
import type { Rule } from "../coherence.js";
import type { Frame } from "./frames.js";
import type { Mm } from "./mm.js";
import type { Spte, Vm } from "./vm.js";
import type { Vcpu, World } from "./world.js";

/** More rights than the PTE has: of a KSM page or the zero page it is never more than reading (I-5). */
export const tooPermissive = (frame: Frame): Rule => (frame.zero || frame.kpage !== 0 ? "I-5" : "I-3");

/** At one access: the page behind the translation is the page that the host maps there, or has its content (I-1, I-2, I-3, I-5). */
export function observe(world: World, vcpu: Vcpu, as: number, gfn: number, frame: Frame, write: boolean): void {
	const agent = `vm${vcpu.vm.id} vcpu${vcpu.id}`;
	const page = vcpu.vm.hva(as, gfn);
	const pte = page === undefined ? undefined : vcpu.vm.mm.get(page);
	if (frame.freed) world.violate("I-1", agent, gfn);
	else if (pte === undefined) world.violate("I-2", agent, gfn);
	else if (pte.frame !== frame && (write || pte.frame.content !== frame.content)) world.violate("I-2", agent, gfn);
	else if (write && !pte.writable) world.violate(tooPermissive(frame), agent, gfn);
	// The PTE's dirty bit is the causes' business: what a strategy lets through must not decide what write_protect_page does.
	if (!write) return;
	world.frames.write(frame);
	const spte = vcpu.vm.root(as).peek(gfn);
	if (spte?.frame === frame) spte.stored = true;
}

interface Placed {
	readonly as: number;
	readonly gfn: number;
	/** hva page. */
	readonly page: number;
	readonly spte: Spte;
	readonly frame: Frame;
}

/** The present SPTEs of hva pages [page, page + pages), aliases and both address spaces included. */
function* sptes(vm: Vm, page: number, pages: number): Generator<Placed> {
	for (const run of vm.runs(page, pages)) {
		for (let gfn = run.gfn; gfn < run.gfn + run.pages; gfn++) {
			const spte = vm.root(run.as).peek(gfn);
			if (spte !== undefined && spte.frame !== null) yield { as: run.as, gfn, page: run.page + (gfn - run.gfn), spte, frame: spte.frame };
		}
	}
}

/**
 * An operation on [page, page + pages) has ended. Where no bracket of a VM is in progress any more, the SPTEs of what has ended since the last such
 * moment agree with the PTEs (I-1, I-2, I-3, I-5 at quiescence).
 */
export function settleOperation(world: World, mm: Mm, page: number, pages: number): void {
	for (const vm of world.vmsOf(mm)) {
		const { doubt } = vm;
		const first = doubt === null ? page : Math.min(doubt.page, page);
		const end = Math.max(doubt === null ? 0 : doubt.page + doubt.pages, page + pages);
		vm.doubt = { page: first, pages: end - first };
		if (vm.inProgress > 0) continue;
		for (const at of sptes(vm, first, end - first)) inspect(world, vm, at);
		vm.doubt = null;
	}
}

function inspect(world: World, vm: Vm, { gfn, page, spte, frame }: Placed): void {
	const pte = vm.mm.get(page);
	if (frame.freed) world.violate("I-1", `vm${vm.id}`, gfn);
	else if (pte?.frame !== frame) world.violate("I-2", `vm${vm.id}`, gfn);
	else if (spte.writable && !pte.writable) world.violate(tooPermissive(frame), `vm${vm.id}`, gfn);
}

/** The deciding memcmp of a merge: the PTE is read-only by now, so nobody may be able to write the page through an SPTE or a vCPU's TLB (I-9). */
export function checkWriters(world: World, mm: Mm, page: number): void {
	const pte = mm.get(page);
	if (pte === undefined || pte.writable) return;
	for (const vm of world.vmsOf(mm)) {
		for (const { as, gfn } of vm.runs(page, 1)) {
			const spte = vm.root(as).peek(gfn);
			const cached = world.vcpusOf(vm).some(({ tlb }) => tlb.holdsWritable(as, gfn));
			if ((spte !== undefined && spte.frame !== null && spte.writable) || cached) world.violate("I-9", `vm${vm.id}`, gfn);
		}
	}
}

/** A writable new PTE is about to be visible: no SPTE may lead to the old page any more (I-10). */
export function checkVisible(world: World, mm: Mm, page: number, frame: Frame): void {
	for (const vm of world.vmsOf(mm))
		for (const at of sptes(vm, page, 1)) if (at.frame !== frame) world.violate("I-10", `vm${vm.id}`, at.gfn);
}
