// The first pass over captures without access logs, and what is decided on it: the kernel's profile, the VMs and their memslots, what is lacking and
// what that costs, and what makes the capture useless as it is.
import { BadInputError } from "../errors.js";
import { DamagedEvents } from "./damaged.js";
import { Code, type KernelEvent, NAMES } from "./event.js";
import { EventSpool } from "./eventspool.js";
import { Intake } from "./intake.js";
import type { KnownVm } from "./knownvm.js";
import type { Lacking } from "./normalise.js";
import type { ProbeDefinitions } from "./probes.js";
import { type TakenProfile, takeProfile } from "./profiles.js";
import { Recogniser } from "./recognise.js";
import { Scout } from "./scout.js";
import { SlotEvidence } from "./slotevidence.js";
import { inferSlots } from "./slots.js";
import type { EventSource, SourceFacts } from "./source.js";
import { readTogether } from "./together.js";

/** What is said of a capture's kernel. */
export interface Judgement {
	readonly evidence: string;
	/** What the capture shows that such a kernel cannot have. */
	readonly contradictions: readonly string[];
	/** What the kernel or the recipe lacks, by what it costs in certainty. */
	readonly costs: readonly string[];
}

export interface Survey {
	readonly known: readonly KnownVm[];
	/** There are events of KVM. */
	readonly kvm: boolean;
	/** There may be notifier ranges. */
	readonly ranges: boolean;
	readonly lacking: Lacking;
	/** null: memslots came before anything else, so the rest was not looked at. */
	readonly judgement: Judgement | null;
	readonly warnings: readonly string[];
	/** All that was read of the sources; null where they were not read to their end. */
	readonly read: SurveyRead | null;
}

interface SurveyRead {
	readonly spool: EventSpool;
	readonly facts: readonly SourceFacts[];
	readonly recognisers: readonly Recogniser[];
	readonly damaged: DamagedEvents;
}

export interface SurveyOptions {
	readonly definitions: ProbeDefinitions;
	/** VMs that the user gave. */
	readonly told: readonly KnownVm[];
	readonly kernel: string | undefined;
	readonly lenient: boolean;
	readonly where: string;
}

/** Times between which a source has an event, by the event's code. */
type Spans = Map<number, { first: number; last: number }>;

interface Look {
	readonly scout: Scout;
	readonly facts: readonly SourceFacts[];
	readonly recognisers: readonly Recogniser[];
	readonly spans: readonly Spans[];
	readonly damaged: DamagedEvents;
}

async function look(sources: readonly EventSource[], { definitions, lenient, where }: SurveyOptions, spool: EventSpool): Promise<Look> {
	const damaged = new DamagedEvents(lenient, where);
	const scout = new Scout(new SlotEvidence());
	const recognisers = sources.map((source) => new Recogniser(definitions, source.path));
	const spans: Spans[] = sources.map(() => new Map());
	const intakes = recognisers.map((recogniser) => new Intake(recogniser, scout, damaged));
	const { facts, batches } = readTogether(sources, intakes, (source, { code, ns }) => {
		const span = spans[source]?.get(code);
		if (span === undefined) spans[source]?.set(code, { first: ns, last: ns });
		else span.last = ns;
	});
	const visit = (event: KernelEvent): void => {
		scout.look(event);
		spool.push(event);
	};
	for await (const batch of batches) {
		batch.each(visit);
		if (scout.complete && sources.length === 1) break;
	}
	return { scout, facts, recognisers, spans, damaged };
}

/** @throws BadInputError where the capture cannot be used, and the user can say or do something about it */
export async function survey(sources: readonly EventSource[], options: SurveyOptions): Promise<Survey> {
	const spool = new EventSpool();
	try {
		const seen = await look(sources, options, spool);
		if (seen.scout.complete) spool.close();
		return { ...judged(sources, options, seen), read: seen.scout.complete ? null : { ...seen, spool } };
	} catch (error) {
		spool.close();
		throw error;
	}
}

function judged(sources: readonly EventSource[], options: SurveyOptions, seen: Look): Omit<Survey, "read"> {
	const { definitions, told, kernel, lenient, where } = options;
	const { scout, facts, recognisers, spans } = seen;
	const warnings: string[] = [];
	const unsure = (what: string, hint: string): void => {
		if (!lenient) throw new BadInputError(what, { where, hint });
		warnings.push(what);
	};
	if (sources.length > 1) checkTogether(sources, facts, spans, unsure);
	const judgement = scout.complete ? null : judge(scout, recognisers, facts, definitions, kernel);
	for (const contradiction of judgement?.contradictions ?? [])
		unsure(
			`the capture does not fit its kernel: ${contradiction} (${judgement?.evidence ?? ""})`,
			"--kernel REL says which kernel was captured; or probe again with that kernel's offsets",
		);
	const kvm = scout.has("kvm_page_fault") || scout.has("kvm_set_memory_region");
	const asked = new Set(recognisers.flatMap((recogniser) => [...recogniser.asked.keys()]));
	if (kvm && !scout.has("mn_range_start") && asked.size > 0)
		throw new BadInputError(`which functions these probes are on is not in the capture: ${[...asked].sort().join(", ")}`, {
			where,
			hint: "--events FILE with their definitions (lines of /sys/kernel/tracing/kprobe_events) tells",
		});
	if (scout.decimalSptes)
		unsure("SPTEs are printed in decimal: an old trace-cmd report -R", "a newer trace-cmd prints them in hex; or import its trace.dat");
	warnings.push(...(judgement?.costs ?? []));
	const recorded = scout.has("kvm_set_memory_region");
	const slots = told.length > 0 || recorded || !kvm || scout.slots === null ? null : inferSlots(scout.slots, lenient, where);
	if (slots !== null) warnings.push(...slots.said);
	if (!kvm) warnings.push("no events of KVM in the capture: it holds observations of the host alone, and nothing to replay");
	const known = slots?.vms ?? told;
	return {
		known,
		kvm,
		ranges: scout.complete || scout.has("mn_range_start"),
		lacking: {
			unmap: scout.has("mn_range_start") && !scout.has("kvm_unmap_hva_range") && !scout.complete,
			vcpuOf: scout.signs.faultHasVcpu === false ? scout.vcpuNumbers(known.map((vm) => vm.tasks)) : null,
		},
		judgement,
		warnings,
	};
}

/** What the events that `scout` has seen say of their kernel. */
export function judge(
	scout: Scout,
	recognisers: readonly Recogniser[],
	facts: readonly SourceFacts[],
	definitions: ProbeDefinitions,
	kernel: string | undefined,
): Judgement {
	for (const { rangeLayout } of recognisers) scout.signs.rangeLayout ||= rangeLayout;
	const taken = takeProfile(kernel, facts.find((one) => one.kernel !== "")?.kernel ?? "", scout.signs);
	return { evidence: taken.evidence, contradictions: taken.contradictions, costs: costs(scout, taken, definitions) };
}

function costs(scout: Scout, { profile }: TakenProfile, definitions: ProbeDefinitions): string[] {
	const found: string[] = [];
	const lacks = (event: string): boolean => !scout.has(event);
	if (scout.hashed !== "")
		found.push(
			`pointers of ${scout.hashed} are hashed (%p in tracefs text): they cannot be joined with those of the probes, and are not used`,
		);
	if (lacks("kvm_page_fault") && lacks("kvm_set_memory_region")) return found;
	if (lacks("kvm_tdp_mmu_spte_changed"))
		found.push(
			"SPTE changes are not recorded: which faults installed, what they found and why each was taken are inferred from the faults",
		);
	if (lacks("mn_range_start")) {
		found.push("notifier ranges are not recorded: nothing shows what the host did to the guests' pages");
		return found;
	}
	if (lacks("kvm_unmap_hva_range"))
		found.push("kvm_unmap_hva_range is not recorded: every range that meets a memslot is taken to have reached KVM");
	if (lacks("wp_page_copy")) {
		const inlined = definitions.absent.has("wp_page_copy") ? " (inlined in this kernel)" : "";
		if (lacks("do_wp_page"))
			found.push(
				`wp_page_copy is not recorded${inlined}: copies are known by their one-page ranges inside a fault, their kind by the rules`,
			);
		else found.push(`wp_page_copy is not recorded${inlined}: do_wp_page with a one-page range behind it stands for it`);
	}
	if (lacks("ksm_try_to_merge_one_page")) {
		if (!lacks("ksm_try_to_merge_with_ksm_page"))
			found.push(
				"try_to_merge_one_page is not recorded: try_to_merge_with_ksm_page stands for it, and merges into the zero page are not seen",
			);
		else found.push("KSM's merges are not recorded: its ranges are taken for invalidations that change nothing");
	}
	if (profile.changePte && !scout.signs.changePte && scout.signs.ranges)
		found.push(`no change_pte is recorded, though Linux ${profile.name} calls it: whether the kernel was changed cannot be told`);
	if (scout.signs.faultHasVcpu === false) found.push("kvm_page_fault has no vCPU in this kernel: vCPUs are numbered by their tasks");
	return found;
}

/** Sources of one host: one clock, and no event in two of them at the same time. */
function checkTogether(
	sources: readonly EventSource[],
	facts: readonly SourceFacts[],
	spans: readonly Spans[],
	unsure: (what: string, hint: string) => void,
): void {
	const clocks = new Set(facts.map((one) => one.clock).filter((clock) => clock !== ""));
	if (clocks.size > 1) unsure(`the sources have different clocks: ${[...clocks].join(", ")}`, "record all of them with one clock (mono)");
	const ends = spans.map((each) => {
		const all = [...each.values()];
		return { first: Math.min(...all.map((span) => span.first)), last: Math.max(...all.map((span) => span.last)) };
	});
	ends.forEach((a, at) => {
		ends.forEach((b, other) => {
			if (other <= at) return;
			if (a.last < b.first - 3600e9 || b.last < a.first - 3600e9)
				unsure(
					`${sources[at]?.path ?? ""} and ${sources[other]?.path ?? ""} lie more than an hour apart`,
					"are they of one run, with one clock?",
				);
		});
	});
	spans.forEach((each, at) => {
		for (const [code, span] of each) {
			const twin = spans.findIndex((others, other) => {
				const twice = others.get(code);
				return other > at && twice !== undefined && twice.first < span.last && span.first < twice.last;
			});
			if (twin >= 0 && code !== Code.mark && code !== Code.silent)
				unsure(
					`${NAMES[code]} is in ${sources[at]?.path ?? ""} and in ${sources[twin]?.path ?? ""} at the same time: its events would count twice`,
					"leave it out of one of them",
				);
		}
	});
}
