// A recipe as one shell script, self-contained, for /bin/sh: what `mmreplay capture` prints is what `--run` runs.
import { bpfProgram } from "./bpfscript.js";
import type { HostFacts } from "./host.js";
import { fetchArguments } from "./layout.js";
import type { Placed } from "./points.js";

export type Method = "bpftrace" | "trace-cmd" | "perf" | "tracefs";

export interface ScriptOptions {
	readonly method: Method;
	readonly placed: readonly Placed[];
	/** Keep the names of processes. */
	readonly keepNames: boolean;
}

/** Our kprobes and our ring buffer go by this name, so that nobody else's are touched. */
const GROUP = "mmreplay";

/** Kernel threads that an import knows by their name; every other task becomes `task`. */
const KEPT = "ksmd|khugepaged|kswapd[0-9]+|kcompactd[0-9]+";

/** sed programs that take process names out of a tracer's text: comm may hold spaces, dashes and brackets. */
const NAMELESS: Readonly<Record<Method, string>> = {
	bpftrace: `s/^(M [0-9]+ [0-9]+ -?[0-9]+ [0-9]+) (${KEPT}) /\\1 \\2 /;t;s/^(M [0-9]+ [0-9]+ -?[0-9]+ [0-9]+) .* ([A-Z][A-Z0-9_]*( [a-z_]+=[^ ]*)*)$/\\1 task \\2/`,
	"trace-cmd": `s/^ *(${KEPT})-([0-9]+ +\\[)/\\1-\\2/;t;s/^ *.*-([0-9]+ +\\[[0-9]+\\] +[^ ]* *[0-9]+\\.[0-9]+:)/task-\\1/`,
	perf: `s/^ *(${KEPT}) +([0-9]+ +\\[)/\\1 \\2/;t;s/^ *[^ ].* ([0-9]+ +\\[[0-9]+\\] +[0-9]+\\.[0-9]+:)/task \\1/`,
	tracefs: `s/^ *(${KEPT})-([0-9]+ +[([])/\\1-\\2/;t;s/^ *.*-([0-9]+ +(\\([ 0-9-]+\\) +)?\\[[0-9]+\\] +[^ ]* *[0-9]+\\.[0-9]+:)/task-\\1/`,
};

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function kprobeLine({ point, symbol }: Placed, facts: HostFacts): string | undefined {
	if (point.kind === "tracepoint") return undefined;
	return `${point.kind === "entry" ? "p" : "r"}:${GROUP}/${point.event} ${symbol ?? ""} ${fetchArguments(facts, point.fetch)}`;
}

const kprobeLines = (placed: readonly Placed[], facts: HostFacts): string[] => placed.flatMap((each) => kprobeLine(each, facts) ?? []);

const tracepoints = (placed: readonly Placed[]): string[] =>
	placed.flatMap(({ point }) => (point.kind === "tracepoint" ? [point.event] : []));

const HEAD = (facts: HostFacts, { method }: ScriptOptions): string => `#!/bin/sh
# Written by mmreplay capture for Linux ${facts.release}, by ${method}. Usage, as root: sh recipe.sh [DIRECTORY [SECONDS]]
# Changes while it runs: ${CHANGES[method]}. All of it is undone at the end, also on Ctrl-C.
set -eu
export LC_ALL=C
DIR=\${1:-mmreplay-capture}
TIME=\${2:-60}
T=${facts.tracefs ?? "/sys/kernel/tracing"}
fail() { echo "recipe: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "this needs root: sudo sh $0 $DIR $TIME"
[ "$(uname -r)" = ${quoted(facts.release)} ] || fail "written for Linux ${facts.release}, this is $(uname -r): run mmreplay capture again"
umask 077
mkdir -p "$DIR"
uname -srvm > "$DIR/uname.txt"
: > "$DIR/losses.txt"
snapshot() {
	{
		for f in /sys/kernel/mm/ksm/*; do [ -f "$f" ] && echo "ksm.\${f##*/} $(cat "$f")"; done
		grep -E '^(cow_ksm|ksm_|pgreuse|pgfault|thp_|nr_tlb_)' /proc/vmstat
		for f in /sys/module/kvm*/parameters/*; do [ -f "$f" ] && echo "parameter.\${f#/sys/module/} $(cat "$f")"; done
		for d in /sys/kernel/debug/kvm/*-*; do
			for n in pf_taken pf_fixed pf_fast pf_spurious pf_emulate remote_tlb_flush; do [ -f "$d/$n" ] && echo "kvm.\${d##*/}.$n $(cat "$d/$n")"; done
		done
	} > "$DIR/$1" 2>/dev/null || true
}
snapshot snap.before
`;

const CHANGES: Readonly<Record<Method, string>> = {
	bpftrace: "BPF programs on the events below",
	"trace-cmd": `kprobes in the group ${GROUP}, the kernel's main trace buffer`,
	perf: "perf events",
	tracefs: `kprobes in the group ${GROUP}, a trace buffer of that name`,
};

const TAIL = `snapshot snap.after
echo "recipe: $(wc -l < "$DIR/trace.txt") lines, $(wc -c < "$DIR/trace.txt") bytes in $DIR/trace.txt"
[ -s "$DIR/losses.txt" ] && { echo "recipe: events were lost:"; cat "$DIR/losses.txt"; }
echo "recipe: now mmreplay import $DIR -o capture.mmtrace --kernel $(uname -r)"
`;

/** Probes whose lines are filtered, by the field that must not be 0. */
function filtered(placed: readonly Placed[], facts: HostFacts): string[] {
	return placed.flatMap(({ point }) => {
		if (point.kind === "tracepoint" || point.filter === undefined) return [];
		const { field } = point.filter;
		return fetchArguments(facts, point.fetch).includes(`${field}=`) ? [`${point.event}) filter='${field} != 0';;`] : [];
	});
}

/** Shell: the words for a recorder's events, as "$@". */
function eventWords(options: ScriptOptions, facts: HostFacts, filterFlag: string): string {
	const words = tracepoints(options.placed).map((event) => `-e ${event.replace("/", ":")}`);
	return `set -- ${words.join(" ")}
for d in $T/events/${GROUP}/*/; do
	[ -d "$d" ] || continue
	e=$(basename "$d"); filter=
	case $e in ${filtered(options.placed, facts).join(" ")} esac
	set -- "$@" -e "${GROUP}:$e"
	[ -z "$filter" ] || set -- "$@" ${filterFlag} "$filter"
done
`;
}

/** events.txt, and the probes themselves; both by the same lines. */
function eventsPart(facts: HostFacts, placed: readonly Placed[]): string {
	const lines = [...tracepoints(placed), ...kprobeLines(placed, facts).map((line) => `kprobe ${line}`)];
	return `cat > "$DIR/events.txt" <<'EVENTS'\n${lines.join("\n")}\nEVENTS\n`;
}

/** Define our kprobes one by one; one that the kernel refuses is noted and left out. */
const PROBES = `undo() {
	set +e
	trap - EXIT INT TERM
	stop
	sed -n 's/^kprobe [pr]:\\([^ ]*\\) .*/-:\\1/p' "$DIR/events.txt" | while read -r p; do echo "$p" >> $T/kprobe_events; done 2>/dev/null
}
trap 'undo; exit 130' INT TERM
trap undo EXIT
sed -n 's/^kprobe //p' "$DIR/events.txt" | while read -r p; do
	echo "$p" >> $T/kprobe_events 2>/dev/null || { echo "recipe: the kernel refuses $p" >&2; echo "refused $p" >> "$DIR/losses.txt"; }
done
mkdir -p "$DIR/formats"
for f in $T/events/${GROUP}/*/format $T/events/kvm/kvm_page_fault/format $T/events/kvmmmu/kvm_tdp_mmu_spte_changed/format; do
	[ -f "$f" ] && cp "$f" "$DIR/formats/$(echo "\${f#$T/events/}" | tr / .)"
done
`;

const filter = ({ method, keepNames }: ScriptOptions): string => (keepNames ? "cat" : `sed -E ${quoted(NAMELESS[method])}`);

function bpftracePart(options: ScriptOptions, facts: HostFacts): string {
	return `cat > "$DIR/capture.bt" <<'BT'
${bpfProgram(options.placed, facts)}BT
export BPFTRACE_PERF_RB_PAGES=1024
timeout -s INT "$TIME" bpftrace "$DIR/capture.bt" 2> "$DIR/bpftrace.log" | ${filter(options)} > "$DIR/trace.txt" || true
grep -q '^M ' "$DIR/trace.txt" || { cat "$DIR/bpftrace.log" >&2; fail "bpftrace recorded nothing"; }
grep -hi '^\\(WARNING: \\)\\?Lost' "$DIR/bpftrace.log" >> "$DIR/losses.txt" || true
cat "$DIR/losses.txt" >> "$DIR/trace.txt"
`;
}

function traceCmdPart(options: ScriptOptions, facts: HostFacts): string {
	return `stop() { trace-cmd reset > /dev/null 2>&1; }
${PROBES}${eventWords(options, facts, "-f")}trace-cmd record -q -C mono -b 32768 "$@" -o "$DIR/trace.dat" sleep "$TIME" > "$DIR/trace-cmd.log" 2>&1 ||
	{ cat "$DIR/trace-cmd.log" >&2; fail "trace-cmd could not record"; }
trace-cmd report -t -i "$DIR/trace.dat" 2> /dev/null | ${filter(options)} > "$DIR/trace.txt"
grep -E 'DROPPED|LOST' "$DIR/trace.txt" >> "$DIR/losses.txt" || true
${options.keepNames ? "" : '# It holds the names of processes.\nrm "$DIR/trace.dat"\n'}`;
}

function perfPart(options: ScriptOptions, facts: HostFacts): string {
	const probes = hasKprobes(options) ? `stop() { :; }\n${PROBES}` : "";
	return `${probes}${eventWords(options, facts, "--filter")}perf record -q -a -k CLOCK_MONOTONIC -m 1024 "$@" -o "$DIR/perf.data" -- sleep "$TIME" 2> "$DIR/perf.log" ||
	{ cat "$DIR/perf.log" >&2; fail "perf could not record"; }
perf script --ns -F comm,tid,cpu,time,event,trace --show-lost-events -i "$DIR/perf.data" 2> /dev/null | ${filter(options)} > "$DIR/trace.txt"
grep -E 'PERF_RECORD_LOST' "$DIR/trace.txt" >> "$DIR/losses.txt" || true
${options.keepNames ? "" : '# It holds the names of processes.\nrm "$DIR/perf.data"\n'}`;
}

function tracefsPart(options: ScriptOptions, facts: HostFacts): string {
	return `I=$T/instances/${GROUP}
stop() {
	[ -d "$I" ] || return 0
	echo 0 > "$I/tracing_on"; echo 0 > "$I/events/enable"
	[ -n "\${READER:-}" ] && { sleep 1; kill "$READER" 2> /dev/null; wait "$READER" 2> /dev/null; READER=; }
	rmdir "$I"
}
[ ! -d "$I" ] || fail "$I is there: another capture is running"
${PROBES}mkdir "$I"
echo mono > "$I/trace_clock"
echo 32768 > "$I/buffer_size_kb"
[ -f "$I/options/record-tgid" ] && echo 1 > "$I/options/record-tgid"
for e in ${tracepoints(options.placed).join(" ")}; do [ -f "$I/events/$e/enable" ] && echo 1 > "$I/events/$e/enable"; done
for d in "$I/events/${GROUP}"/*/; do
	[ -d "$d" ] || continue
	e=$(basename "$d"); filter=
	case $e in ${filtered(options.placed, facts).join(" ")} esac
	[ -z "$filter" ] || echo "$filter" > "$d/filter"
	echo 1 > "$d/enable"
done
echo "# tracer: nop" > "$DIR/trace.txt"
{ cat "$I/trace_pipe" & echo $! > "$DIR/reader"; wait; } 2> /dev/null | ${filter(options)} >> "$DIR/trace.txt" &
PIPE=$!
sleep 1
READER=$(cat "$DIR/reader"); rm "$DIR/reader"
sleep "$TIME"
echo 0 > "$I/tracing_on"
for c in "$I"/per_cpu/cpu*; do grep -hE '^(overrun|commit overrun|dropped events): [1-9]' "$c/stats" | sed "s/^/\${c##*/} /"; done >> "$DIR/losses.txt" || true
undo
wait "$PIPE" 2> /dev/null || true
`;
}

const hasKprobes = (options: ScriptOptions): boolean => options.placed.some(({ point }) => point.kind !== "tracepoint");

const PARTS: Readonly<Record<Method, (options: ScriptOptions, facts: HostFacts) => string>> = {
	bpftrace: bpftracePart,
	"trace-cmd": traceCmdPart,
	perf: perfPart,
	tracefs: tracefsPart,
};

export function recipeScript(facts: HostFacts, options: ScriptOptions): string {
	return `${HEAD(facts, options)}${eventsPart(facts, options.placed)}${PARTS[options.method](options, facts)}${TAIL}`;
}
