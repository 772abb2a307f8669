// kvm_mmu_notifier_change_pte and kvm_set_spte_gfn: what each strategy makes of them (kernel.md 3.4, 10.4).
import type { ChangePte } from "../strategies/steps.js";
import { hasNotifiers, hitVms } from "./bracket.js";
import type { Operation, PrimaryChange } from "./operation.js";
import { changeSpte, makeSpte } from "./spte.js";
import type { Vm } from "./vm.js";
import type { GfnRun, World } from "./world.js";

/** change_pte speaks of one page, however long the bracket is (1.8). */
export const addressed = (operation: Operation, change: PrimaryChange): number => (change.frame === null ? operation.pages : 1);

/**
 * kvm_mmu_notifier_change_pte and kvm_set_spte_gfn: what each strategy makes of them (3.4, 10.4). In both MMUs a present SPTE is cleared first, so that its
 * page hears of A and D, and no present leaf gets another page (I-7). The legacy MMU comes from the gfn's rmap, which knows no absent entry to make.
 */
export function changePte(world: World, operation: Operation, change: PrimaryChange, step: ChangePte, wasReadOnly: boolean): void {
	if (step.unless === "replace-follows" && operation.replaceFollows) return;
	const frame = change.frame;
	if (frame === null || !hasNotifiers(world, operation)) return;
	world.count("notifier.changePte");
	for (const vm of hitVms(world, operation, addressed(operation, change))) {
		world.count("mmuLockWrite");
		world.countSite(operation.site, "mmuLockWrite");
		const found: GfnRun[] = [];
		for (const run of vm.runs(operation.page, 1)) {
			const root = vm.root(run.as);
			const spte = root.entry(run.gfn);
			// One page of a huge leaf cannot be expressed: level != 4K is skipped (3.4).
			if (spte.huge) continue;
			if (spte.frame !== null) {
				found.push(run);
				world.count("notifier.changePteEffective");
				if (wasReadOnly && spte.writable && spte.frame !== frame) world.violate("I-8", `vm${vm.id}`, run.gfn);
				if (change.writable && step.writable !== "map") {
					world.zapSpte(root, run.gfn, operation.cause, operation.site);
				} else {
					world.handOver([spte]);
					if (change.writable) makeSpte(world.host, spte, frame, mayWrite(vm, run), true);
					else changeSpte(spte, frame);
					world.count("spteChanged");
					world.countSite(operation.site, "spteRebuilt");
				}
			} else if (step.mode === "establish") {
				if (step.guard === "own-bracket" && vm.inProgress !== 1) refuse(world, "refusedOverlap");
				else if (change.writable && step.writable !== "map") refuse(world, "refusedWritable");
				else if (world.host.mmu === "legacy" || !root.hasLeafTable(run.gfn)) refuse(world, "refusedNoTable");
				else {
					const own = operation.bracketed.filter((other) => other === vm).length;
					if (vm.inHull(operation.page) && vm.inProgress > own) world.violate("I-6", `vm${vm.id}`, run.gfn);
					makeSpte(world.host, spte, frame, change.writable && mayWrite(vm, run), true);
					spte.established = true;
					world.count("notifier.changePteEstablished");
					world.count("spteInstalled");
					world.countSite(operation.site, "spteRebuilt");
				}
			}
		}
		if (found.length > 0) world.flushGuest(vm, operation.site, found, step.flush === "deferred");
	}
}

/** A new entry is writable only where KVM need not notice the store (10.4). */
function mayWrite(vm: Vm, { as, gfn }: { readonly as: number; readonly gfn: number }): boolean {
	return !vm.readOnly(as, gfn) && !vm.logsDirty(as, gfn);
}

function refuse(world: World, why: "refusedOverlap" | "refusedWritable" | "refusedNoTable"): void {
	world.count("notifier.changePteFailed");
	world.count(`establish.${why}`);
}
