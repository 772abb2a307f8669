// Options that several commands share.
import { type Command, Option } from "commander";
import { UsageError } from "../errors.js";
import { DEFAULT_HOST, hostTitle, isSameHost, type KvmHost, MMUS, type Mmu, type RecordedHost } from "../trace/kvmhost.js";
import type { CaptureOptions } from "./capture.js";

export interface VoiceOptions {
	quiet?: boolean;
	color?: boolean;
}

export function withVoice(command: Command): Command {
	return command.option("-q, --quiet", "no progress and no warnings").option("--no-color", "no colours, as with NO_COLOR set");
}

/** KVM's host, as the command line tells it. */
export interface HostFlags {
	mmu?: Mmu;
	ad?: boolean;
	pml?: boolean;
}

/** `whose`: the host that a replay assumes, or the one that was captured. */
export function withHost(command: Command, whose: string): Command {
	return command
		.addOption(new Option("--mmu <which>", `KVM's MMU on ${whose}: the TDP MMU, or the one before it`).choices(MMUS))
		.option("--ad", `SPTEs have A/D bits on ${whose}`)
		.option("--no-ad", "they have none: KVM tracks accesses by SPTEs that do not work")
		.option("--pml", "dirty logging clears D (page-modification logging)")
		.option("--no-pml", "dirty logging write-protects");
}

/** What a replay assumed, where it is not what it assumes by itself. */
export function assumedHost(host: KvmHost): string {
	return isSameHost(host, DEFAULT_HOST) ? "" : `, host: ${hostTitle(host)}`;
}

/** @throws UsageError where the flags contradict each other */
export function toldHost({ mmu, ad, pml }: HostFlags): RecordedHost {
	if (ad === false && pml === true)
		throw new UsageError("page-modification logging needs A/D bits", { where: "--pml", hint: "leave out --no-ad or --pml" });
	return { mmu, eptAd: ad, pml };
}

/** How a table is laid out. */
export interface TableFlags {
	wide?: boolean;
	columns?: string;
}

export interface CaptureFlags extends VoiceOptions {
	kernel?: string;
	capturedStrategy?: string;
	lenient?: boolean;
}

/** For commands that import a capture on the way. */
export function withCapture(command: Command): Command {
	return command
		.option("--kernel <release>", "kernel release that was captured")
		.option("--captured-strategy <name>", "strategy that the captured kernel ran, instead of what its events show")
		.option("--lenient", "take what can be taken of a damaged capture");
}

export function captureOptions({ kernel, capturedStrategy, lenient }: CaptureFlags): CaptureOptions {
	return { kernel, capturedStrategy, lenient };
}
