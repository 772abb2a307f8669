// KVM's side of range-start and of the callback that zaps without one (kernel.md 2.1, 3.1, 3.2).
import { lacksChangePte, mirrorsStart, tellMissing } from "./devices.js";
import { HUGE_PAGES, type Mm } from "./mm.js";
import type { Operation } from "./operation.js";
import type { TdpRoot, Vm } from "./vm.js";
import type { GfnRun, World } from "./world.js";

/** SPTEs that back a range of hva pages. */
export function presentSptes(world: World, mm: Mm, page: number, pages: number): number {
	let present = 0;
	for (const vm of world.vmsOf(mm))
		for (const run of vm.runs(page, pages))
			for (let gfn = run.gfn; gfn < run.gfn + run.pages; gfn++) if ((vm.root(run.as).peek(gfn)?.frame ?? null) !== null) present++;
	return present;
}

/** The notifier core is entered only for an mm that has a notifier (kernel.md 7). */
export const hasNotifiers = (world: World, operation: Operation): boolean =>
	world.vmsOf(operation.mm).length > 0 || lacksChangePte(world, operation.mm);

export const hitVms = (world: World, operation: Operation, pages = operation.pages): Vm[] =>
	world.vmsOf(operation.mm).filter((vm) => vm.hits(operation.page, pages));

/** kvm_mmu_notifier_invalidate_range_start: no memslot hit, no lock, no count, no sequence (3.1, 3.2). */
export function rangeStart(world: World, operation: Operation, kvm: boolean): void {
	if (!hasNotifiers(world, operation)) return;
	world.count("notifier.rangeStart");
	mirrorsStart(world, operation);
	if (!kvm) return;
	for (const vm of hitVms(world, operation)) {
		operation.bracketed.push(vm);
		world.count("mmuLockWrite");
		world.countSite(operation.site, "mmuLockWrite");
		vm.invalidateBegin(operation.page, operation.pages);
		zapRange(world, operation, vm);
	}
}

function zapRange(world: World, operation: Operation, vm: Vm): void {
	const zapped: GfnRun[] = [];
	for (const run of vm.runs(operation.page, operation.pages)) {
		const root = vm.root(run.as);
		const reach = withHugeLeaves(root, run);
		let any = false;
		for (let gfn = run.gfn; gfn < run.gfn + run.pages; gfn++) if (world.zapSpte(root, gfn, operation.cause, operation.site)) any = true;
		if (any) zapped.push(reach);
	}
	if (zapped.length > 0) world.flushGuest(vm, operation.site, zapped);
}

/** A 2 MiB leaf that overlaps a run goes whole: what must be flushed then. */
function withHugeLeaves(root: TdpRoot, { as, gfn, pages }: GfnRun): GfnRun {
	const last = gfn + pages - 1;
	const first = root.peek(gfn)?.huge === true ? gfn - (gfn % HUGE_PAGES) : gfn;
	const end = root.peek(last)?.huge === true ? last - (last % HUGE_PAGES) + HUGE_PAGES : gfn + pages;
	return { as, gfn: first, pages: end - first };
}

/** The one callback of the 2008 draft, counted as a start: it zaps, but counts nothing in progress and raises no sequence (2.1). */
export function invalidateRange(world: World, operation: Operation): void {
	if (!hasNotifiers(world, operation)) return;
	world.count("notifier.rangeStart");
	tellMissing(world, operation);
	for (const vm of hitVms(world, operation)) {
		world.count("mmuLockWrite");
		world.countSite(operation.site, "mmuLockWrite");
		zapRange(world, operation, vm);
	}
}
