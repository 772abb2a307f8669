// What the engine and its host say to each other in numbers: written once here, generated into assembly/generated/constants.ts.
import type { OperationName } from "../trace/kinds.js";

/** Why the engine cannot go on. Up to `lastOfInput` the trace is to blame, then a limit, then the engine itself. */
export const Failure = {
	none: 0,
	/** A column or field of the block ends in the middle of a value. `detail`: the field. */
	truncated: 1,
	/** A varint beyond what its field holds. `detail`: the field. */
	tooWide: 2,
	/** A wire type that a field does not have, or that protobuf has not. `detail`: the field. */
	wireType: 3,
	/** A field or column chunk that stands twice. `detail`: the field. */
	twice: 4,
	/** A column with another number of values than the block has records. `detail`: the field. */
	columnLength: 5,
	/** A one-byte column with a continuation bit. `detail`: the field. */
	continuation: 6,
	/** The block's own number of events is not its header's. `detail`: the block's. */
	events: 7,
	/** More entries in a table than the limit, or a string over its limit. `detail`: the field. */
	tableLimit: 8,
	/** An agent entry that is not valid. `detail`: its index. */
	agent: 9,
	/** A record that names an agent the block does not have. `detail`: the agent. */
	agentIndex: 10,
	/** Both or neither of page and page_delta. */
	pageColumns: 11,
	/** A page beyond 32 bits by its deltas. */
	pageRange: 12,
	/** The position column among causes. */
	position: 13,
	/** The argument column is used up. */
	argumentsEnd: 14,
	/** No such operation. `detail`: its code. */
	operationCode: 15,
	/** Another number of arguments than the operation takes. `detail`: its code. */
	argumentCount: 16,
	/** An argument beyond what it can mean. `detail`: its code * 8 + its place. */
	argumentValue: 17,
	/** Bytes left over in the argument column. `detail`: how many. */
	argumentsLeft: 18,
	/** A string index beyond the block's strings. `detail`: the index. */
	stringIndex: 19,
	/** An address space other than 0 and 1. `detail`: it. */
	addressSpace: 20,
	/** A page, or a memslot, beyond 48-bit addresses. `detail`: the page. */
	pageLimit: 21,
	/** A KSM page id over 32 bits. `detail`: it. */
	kpage: 22,
	/** A file, or a page of it, beyond MAX_FILES and MAX_FILE_PAGES. `detail`: the greater of the two. */
	file: 23,
	/** No fault of the trace: this engine cannot replay its part alone. `detail`: a SplitRefusal. */
	split: 24,
	/** Memory: the 4 GiB of WebAssembly or the cap that was set. `detail`: bytes asked for. */
	memory: 32,
	/** More than 2^26 frames alive (256 GiB of guest memory that differs), or 2^24 mappings of one frame. */
	frames: 33,
} as const;
export type Failure = (typeof Failure)[keyof typeof Failure];

/** The first code that is a limit rather than bad input. */
export const FIRST_LIMIT = 32;

/** Why mms that share nothing but KSM pages are not all there is (assembly/shard.ts). */
export const SplitRefusal = {
	/** An operation that is not among SPLITTABLE_OPERATIONS. */
	operation: 1,
	/** A VM with two mms. */
	vm: 2,
	/** KSM page 0, or one that is made anew, or renamed. */
	ksmPage: 3,
	/** ksmd holds one mm's page locked and works on another's. */
	lock: 4,
	/** A window of two mms. */
	window: 5,
	/** Another mm's bracket makes a pending access go on. */
	pending: 6,
	/** A translation that disagrees with its PTE, where KSM pages are shared. */
	suspect: 7,
} as const;
export type SplitRefusal = (typeof SplitRefusal)[keyof typeof SplitRefusal];

/** Operations that change one mm and its VMs; of frames that others may have too, only KSM pages. */
export const SPLITTABLE_OPERATIONS: readonly OperationName[] = [
	"access",
	"fault",
	"mmio",
	"ksmWriteProtect",
	"ksmReplace",
	"ksmPromote",
	"cow",
	"unshare",
	"zap",
	"protect",
	"invalidate",
	"populate",
	"memslot",
	"mark",
	"thpSplit",
	"thpCollapse",
	"exit",
	"uprobeReplace",
	"mkclean",
	"softDirty",
	"age",
	"dirtyLog",
	"kvmZapAll",
];

/** What `replay` came back for. full: the log is, in the middle of a block. */
export const Stop = { end: 0, mark: 1, failure: 2, full: 3 } as const;

/** Entries of the log (assembly/log.ts): { record u32 | what u8, strategy u8, detail u16 | gfn u64 | vm u32 | vcpu u32 | amount u64 }. */
export const Log = { exit: 1, zap: 2, growth: 3 } as const;
export const LOG_ENTRY_BYTES = 32;
/** Entries that the log has room for. */
export const LOG_CAPACITY = 1 << 17;
/** Counters whose growth is logged; `detail` is a place in this list. */
export const LOGGED_COUNTERS = [
	"vmexitsRetried",
	"flush.guestTlb",
	"spteZapped",
	"spteInstalled",
	"ksmMerges",
	"cowBreaks",
	"mmuLockWrite",
	"notifier.changePteEstablished",
	"coherence.violations",
] as const;
export type LoggedCounter = (typeof LOGGED_COUNTERS)[number];

/** Words (u32) of a violation in the engine's list: event and page (low, high), rule, kind of agent, its mm or vm, its vCPU or thread. */
export const VIOLATION_WORDS = 8;

/** KVM's host (src/trace/kvmhost.ts), as bits. */
export const HostFlag = { legacyMmu: 1, noAd: 2, noPml: 4 } as const;

/** Strategies in one pass: each has a bit of a 32-bit mask. */
export const MAX_STRATEGIES = 32;

/** Words (u32) that tell the engine its machine, by their place. An array: sets, ways, replacement. */
export const MachineWord = {
	l1Sets: 0,
	l1Ways: 1,
	l1Replacement: 2,
	/** A HugeEntries; the array follows where it is `own`. */
	l1Huge: 3,
	l1HugeSets: 4,
	l1HugeWays: 5,
	l1HugeReplacement: 6,
	l2Sets: 7,
	l2Ways: 8,
	l2Replacement: 9,
	l2Huge: 10,
	l2HugeSets: 11,
	l2HugeWays: 12,
	l2HugeReplacement: 13,
	guestPages: 14,
	rangedFlush: 15,
	hostFlushPages: 16,
	guestLevels: 17,
	hostLevels: 18,
	pscUsed: 19,
	/** Levels 2 to 5. */
	pscLinear: 20,
	pscNested: 24,
} as const;
export const MACHINE_WORDS = 28;

export const Replacing = { lru: 0, treePlru: 1 } as const;
export const HugeEntries = { pieces: 0, shared: 1, none: 2, own: 3 } as const;
export const GuestPages = { host: 0, small: 1, huge: 2 } as const;
