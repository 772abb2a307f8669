// Events in the tracker's words whose numbers are none: a digit that became a letter, a field cut off, an address that no machine has.
import { BadInputError } from "../errors.js";
import type { TracefsEvent } from "./tracefs.js";

const HEX = "0x[0-9a-f]{1,16}";
/** Guest-physical addresses have 52 bits at most, their page numbers 40. */
const GPA = "0x0*[0-9a-f]{1,13}";
const GFN = "[0-9a-f]{1,10}";

/** Addresses of users have 56 bits at most, with page tables of five levels. Those of page_fault_user are whatever a program asks for. */
const USER = "0x0*[0-9a-f]{1,14}";

/** enum mmu_notifier_event, where it is shown: below 64. */
const EVENT = "(?!(?:.*\\s)?event=(?!(?:[0-5]?\\d|6[0-3]|0x[0-3]?[0-9a-f])?(?: |$)))";

const NO_USER = /(?:^|\s)(?:addr|to|start|end|hva)=0x0*[1-9a-f][0-9a-f]{14,15}(?: |$)/;

const ADDRESS = new RegExp(`(?:^|\\s)addr=${USER}( |$)`);
const SPAN = new RegExp(`(?:^|\\s)start=${USER}( end=${USER})?( |$)`);

/** What each event must have. Events without an entry have no numbers that are read. */
const SHAPES: Readonly<Record<string, RegExp>> = {
	kvm_page_fault: new RegExp(`^vcpu \\d{1,5} rip ${HEX} address ${GPA} error_code ${HEX}( |$)`),
	kvm_tdp_mmu_spte_changed: new RegExp(`^as id [01] gfn ${GFN} level [1-6] old_spte [0-9a-f]{1,16} new_spte [0-9a-f]{1,16}( |$)`),
	mn_range_start: new RegExp(`^${EVENT}(?:.*\\s)?start=${HEX} (.* )?end=${HEX}( flags=${HEX})?( (?!flags=)|$)`),
	mn_range_end: new RegExp(`^${EVENT}(?:.*\\s)?start=${HEX}( |$)`),
	mn_change_pte: new RegExp(`(?:^|\\s)addr=${USER}( pte=${HEX})?( (?!pte=)|$)`),
	wp_page_copy: ADDRESS,
	do_wp_page: ADDRESS,
	handle_mm_fault: ADDRESS,
	ksm_try_to_merge_one_page_ret: /(?:^|\s)ret=(-?\d+|0x[0-9a-f]+)( |$)/,
	ksm_stable_tree_append: ADDRESS,
	ksm_break_ksm: ADDRESS,
	// A slot that goes has no address: KVM deletes its own with hva 0xdead000000000000.
	kvm_set_memory_region: new RegExp(
		`(?:^|\\s)slot=0x0*[0-9a-f]{1,8} (.* )?gpa=${GPA} (?:(.* )?hva=${USER}( |$)|(?:.* )?size=0x0+ (?:.* )?hva=${HEX}( |$))`,
	),
	uprobe_write_opcode: ADDRESS,
	move_page_tables: new RegExp(`(?:^|\\s)addr=${USER} (.* )?to=${USER}( |$)`),
	try_to_unmap_one: ADDRESS,
	try_to_migrate_one: ADDRESS,
	set_migration_pte: ADDRESS,
	remove_migration_pte: ADDRESS,
	set_migration_pmd: ADDRESS,
	remove_migration_pmd: ADDRESS,
	mm_migrate_pages: /^succeeded=\d+$/,
	kvm_age_hva: SPAN,
	kvm_test_age_hva: SPAN,
	kvm_age_page: SPAN,
	mn_clear_flush_young: SPAN,
	mn_clear_young: SPAN,
	mn_test_young: SPAN,
	kvm_dirty_log_masked: new RegExp(`(?:^|\\s)offset=${GPA} (.* )?mask=${HEX}( |$)`),
	pin_user_pages: new RegExp(`(?:^|\\s)addr=${USER} (.* )?pages=0x[0-9a-f]{1,8}( |$)`),
	page_fault_user: new RegExp(`(?:^|\\s)address=${HEX} (.* )?error_code=${HEX}( |$)`),
};

const MAX_NS = Number.MAX_SAFE_INTEGER;

export class DamagedEvents {
	readonly #lenient: boolean;
	readonly #where: string;
	count = 0;

	constructor(lenient: boolean, where: string) {
		this.#lenient = lenient;
		this.#where = where;
	}

	/** Whether an event can be read. @throws BadInputError where it cannot, unless `lenient` */
	accepts(event: TracefsEvent): boolean {
		const timed = event.ns >= 0 && event.ns <= MAX_NS && Number.isInteger(event.ns);
		if (timed && SHAPES[event.name]?.test(event.text) !== false) return true;
		this.count++;
		if (this.#lenient) return false;
		const what = timed ? `${event.name}: ${event.text.slice(0, 120)}` : `${event.name} at ${event.ns} ns`;
		if (timed && NO_USER.test(event.text))
			throw new BadInputError(`an event at an address that no process has: ${what}`, {
				where: this.#where,
				hint: "a probe that fetches from another place than this kernel's struct has it, or damage; --lenient leaves such events out",
			});
		throw new BadInputError(`a damaged event: ${what}`, { where: this.#where, hint: "--lenient leaves such events out" });
	}
}
