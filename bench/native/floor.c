/* The native floor: what the engine does with the benchmark's workloads under `drop`, as plainly and as fast as C allows: the same TLBs (LRU, 64 in 4
 * ways, 1536 in 12), page tables, fault path and counters. It reads the same files and knows no record but accesses of guests, memslots and whole
 * merges; anything else ends it. Rules: docs/engine.md; the figures that it is for: docs/performance.md.
 *
 *   floor FILE SKIP [loads|prefetch|none]     SKIP: events before which blocks are not timed; how upcoming SPTEs are touched (prefetch: and huge pages)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
#define INLINE static inline __attribute__((always_inline))

static void fail(const char *what) {
	fprintf(stderr, "floor: %s\n", what);
	exit(3);
}

/* ---- memory: one arena, as the engine has one */
static u8 *arena, *arena_end;
static void *reserve(size_t bytes) {
	u8 *at = arena;
	arena += (bytes + 63) & ~(size_t)63;
	if (arena > arena_end) fail("out of memory");
	return at;
}

/* ---- counters */
enum { PRESENT = 1, WRITABLE = 2, ACCESSED = 4, KSM = 8, FRAME_SHIFT = 6 };
enum { FIRST_TOUCH, BY_KSM, READ_ONLY_SPTE, RETRY_AFTER_COW, CAUSES };
enum { NO_SITE, COW, WRITE_PROTECT, REPLACE, SITES };
static struct {
	u64 reads, writes, vmexits, fixed, retried, exit_writes, exit_protection, cow_zero, cow_ksm, merges, zapped, l1_miss, l2_hit, l2_miss, walks;
	u64 primary_flushes, guest_flushes, memslots;
	u64 cause[CAUSES][2];
	struct { u64 count, present, exits, flushes, locks; } site[SITES];
} n;
static u64 lookups;

/* ---- TLBs */
typedef struct { u32 tag[4], entry[4]; u8 order; u8 pad[31]; } __attribute__((aligned(64))) Set1;
typedef struct { u32 tag[16], entry[12]; u64 order; u32 epoch, pad; } __attribute__((aligned(64))) Set2;
typedef struct Vm Vm;
typedef struct { Set1 *l1; Set2 *l2; Vm *vm; u32 epoch, filled; } Vcpu;
struct Vm {
	u32 id, vcpus;
	Vcpu *vcpu[4096];
	u32 **sptes, **ptes; /* leaves of 512 by page >> 9 */
	u64 pages, hva;
	u32 seq;
};
static u8 next_order[24][16], victim_order[24]; /* by the bit of the way */
#define IDENTITY 0xfedcba9876543210ull
#define ONES 0x1111111111111111ull

static void make_orders(void) {
	u8 all[24][4];
	int count = 0;
	for (int a = 0; a < 4; a++) for (int b = 0; b < 4; b++) for (int c = 0; c < 4; c++) for (int d = 0; d < 4; d++)
		if (a != b && a != c && a != d && b != c && b != d && c != d) { u8 p[4] = {a, b, c, d}; memcpy(all[count++], p, 4); }
	for (int s = 0; s < 24; s++) {
		victim_order[s] = all[s][3];
		for (int way = 0; way < 4; way++) {
			u8 p[4] = {way};
			int at = 1;
			for (int i = 0; i < 4; i++) if (all[s][i] != way) p[at++] = all[s][i];
			for (int t = 0; t < 24; t++) if (!memcmp(all[t], p, 4)) next_order[s][1 << way] = t;
		}
	}
}

INLINE u32 find1(const Set1 *set, u32 tag, u32 need) {
	__m128i same = _mm_cmpeq_epi32(_mm_load_si128((const __m128i *)set->tag), _mm_set1_epi32(tag));
	__m128i wanted = _mm_set1_epi32(need);
	__m128i right = _mm_cmpeq_epi32(_mm_and_si128(_mm_load_si128((const __m128i *)set->entry), wanted), wanted);
	return _mm_movemask_ps(_mm_castsi128_ps(_mm_and_si128(same, right)));
}
INLINE u32 match2(const Set2 *set, u32 tag) {
	__m256i t = _mm256_set1_epi32(tag);
	u32 low = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_load_si256((const __m256i *)set->tag), t)));
	u32 high = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_load_si256((const __m256i *)(set->tag + 8)), t)));
	return (low | high << 8) & 0xfff;
}
INLINE u64 to_front(u64 order, u64 way) {
	u64 x = order ^ way * ONES;
	u32 at = __builtin_ctzll((x - ONES) & ~x & 0x8888888888888888ull) & ~3u;
	u64 below = ((u64)1 << at) - 1;
	return (order & ~(below << 4 | 15)) | (order & below) << 4 | way;
}
INLINE u64 to_back(u64 order, u64 way) {
	u64 x = order ^ way * ONES;
	u32 at = __builtin_ctzll((x - ONES) & ~x & 0x8888888888888888ull) & ~3u;
	u64 below = ((u64)1 << at) - 1, twelve = 0xffffffffffffull;
	u64 rest = (order & below) | ((order & twelve) >> 4 & ~below);
	return (order & ~twelve) | (rest & (twelve >> 4)) | way << 44;
}
INLINE Set2 *set2(Vcpu *v, u64 page) {
	Set2 *set = v->l2 + (page & 127);
	if (set->epoch != v->epoch) { memset(set->tag, 0, 48); set->epoch = v->epoch; set->order = IDENTITY; }
	return set;
}
INLINE void fill1(Set1 *set, u32 tag, u32 entry) {
	u32 hit = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(_mm_load_si128((const __m128i *)set->tag), _mm_set1_epi32(tag))));
	if (!hit) hit = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(_mm_load_si128((const __m128i *)set->tag), _mm_setzero_si128())));
	u32 way = hit ? (u32)__builtin_ctz(hit) : victim_order[set->order];
	set->tag[way] = tag;
	set->entry[way] = entry;
	set->order = next_order[set->order][1 << way];
}
static void fill2(Set2 *set, u32 tag, u32 entry) {
	u32 hit = match2(set, tag);
	if (!hit) hit = match2(set, 0);
	u64 way = hit ? (u64)__builtin_ctz(hit) : set->order >> 44 & 15;
	set->tag[way] = tag;
	set->entry[way] = entry;
	set->order = to_front(set->order, way);
}
static void flush_page(Vcpu *v, u64 page) {
	if (!v->filled) return;
	Set1 *one = v->l1 + (page & 15);
	for (int way = 0; way < 4; way++) if (one->tag[way] == (u32)(page >> 4) + 1) one->tag[way] = 0;
	Set2 *two = set2(v, page);
	u32 hit = match2(two, (page >> 7) + 1);
	if (hit) { u64 way = __builtin_ctz(hit); two->tag[way] = 0; two->order = to_back(two->order, way); }
}
static void flush_vm(Vm *vm) {
	for (u32 i = 0; i < vm->vcpus; i++) {
		Vcpu *v = vm->vcpu[i];
		if (!v->filled) continue;
		v->filled = 0;
		memset(v->l1, 0, 16 * sizeof(Set1));
		v->epoch++;
	}
}

/* ---- page tables */
INLINE u32 *entry_in(u32 **leaves, u64 page) {
	u32 *leaf = leaves[page >> 9];
	if (__builtin_expect(!leaf, 0)) leaves[page >> 9] = leaf = reserve(2048);
	return leaf + (page & 511);
}
static u32 free_frames, *frames_free, frames_made;
static u32 new_frame(void) { return free_frames ? frames_free[--free_frames] : ++frames_made; }

/* ---- an access that leaves the first level */
static int translate(Vcpu *v, u32 *spte, u64 page, u32 write) {
	u32 need = PRESENT | write << 1;
	Set1 *one = v->l1 + (page & 15);
	u32 tag1 = (page >> 4) + 1;
	lookups++;
	u32 hit = find1(one, tag1, need);
	if (hit) { one->order = next_order[one->order][hit & -hit]; return 1; }
	n.l1_miss++;
	Set2 *two = set2(v, page);
	u32 tag2 = (page >> 7) + 1;
	u32 found = match2(two, tag2);
	if (found) {
		u64 way = __builtin_ctz(found);
		if ((two->entry[way] & need) == need) {
			n.l2_hit++;
			two->order = to_front(two->order, way);
			fill1(one, tag1, two->entry[way]);
			return 1;
		}
	}
	n.l2_miss++;
	n.walks++;
	if ((*spte & need) != need) { flush_page(v, page); return 0; }
	*spte |= ACCESSED;
	v->filled = 1;
	fill1(one, tag1, *spte);
	fill2(two, tag2, *spte);
	return 1;
}

static void begin(Vm *vm, u32 *spte, u32 site) {
	n.site[site].count++;
	n.site[site].locks += 2; /* its begin and its end */
	vm->seq++;
	if (!(*spte & PRESENT)) return;
	n.site[site].present++;
	n.zapped++;
	*spte = (site == COW ? RETRY_AFTER_COW : BY_KSM) << 6 | site << 12;
	n.guest_flushes++;
	n.site[site].flushes++;
	flush_vm(vm);
}

static void count_exit(u32 spte, u32 write) {
	u32 cause = spte & PRESENT ? READ_ONLY_SPTE : spte >> 6 & 63, site = spte & PRESENT ? 0 : spte >> 12;
	n.vmexits++;
	n.exit_writes += write;
	n.exit_protection += spte & PRESENT;
	n.cause[cause][write]++;
	n.site[site].exits++;
}

static void miss(Vcpu *v, u64 page, u32 write) {
	Vm *vm = v->vm;
	u32 *spte = entry_in(vm->sptes, page);
	if (translate(v, spte, page, write)) return;
	count_exit(*spte, write);
	u32 *pte = entry_in(vm->ptes, page), snapshot = vm->seq;
	if (!(*pte & PRESENT)) *pte = write ? new_frame() << FRAME_SHIFT | PRESENT | WRITABLE : PRESENT;
	else if (write && !(*pte & WRITABLE)) {
		begin(vm, spte, COW);
		n.primary_flushes++;
		if (*pte & KSM) n.cow_ksm++; else if (*pte >> FRAME_SHIFT) fail("a page that is neither zero nor merged and read-only"); else n.cow_zero++;
		*pte = new_frame() << FRAME_SHIFT | PRESENT | WRITABLE;
	}
	if (vm->seq != snapshot) {
		n.retried++;
		if (!(*spte & PRESENT)) *spte = RETRY_AFTER_COW << 6;
		if (translate(v, spte, page, write)) fail("a retry that went through");
		count_exit(*spte, write);
	}
	n.fixed++;
	*spte = *pte & ~(u32)(KSM | ACCESSED);
	translate(v, spte, page, write);
}

/* ---- the file */
static Vm *vms[4096];
static Vm *vm_of(u32 id) {
	if (id >= 4096) fail("more VMs than it knows");
	if (!vms[id]) { vms[id] = reserve(sizeof(Vm)); vms[id]->id = id; }
	return vms[id];
}
static Vcpu *vcpu_of(u32 vm, u32 id) {
	Vm *of = vm_of(vm);
	if (id >= 4096) fail("more vCPUs than it knows");
	while (of->vcpus <= id) {
		Vcpu *v = reserve(sizeof(Vcpu));
		*v = (Vcpu){reserve(16 * sizeof(Set1)), reserve(128 * sizeof(Set2)), of, 1, 0};
		of->vcpu[of->vcpus++] = v;
	}
	return of->vcpu[id];
}
static u64 varint(const u8 **at) {
	u64 value = 0;
	for (int shift = 0;; shift += 7) {
		u8 byte = *(*at)++;
		value |= (u64)(byte & 127) << shift;
		if (byte < 128) return value;
		if (shift == 63) fail("a varint of more than ten bytes");
	}
}
static u32 crc32c(const u8 *at, size_t bytes) {
	u64 crc = 0xffffffffu;
	for (; bytes >= 8; at += 8, bytes -= 8) crc = _mm_crc32_u64(crc, *(const u64 *)at);
	for (; bytes; bytes--) crc = _mm_crc32_u8(crc, *at++);
	return ~(u32)crc;
}
typedef struct { u32 kind, vm, vcpu, mm; u64 base; Vcpu *of; } Agent;
static Agent agents[1 << 14];
static u32 agent_count, events, *page_words;
static const u8 *ops, *arguments, *arguments_end;
static u32 *wide_ops;
static const u32 *pages;

static void decode(const u8 *at, size_t bytes, u32 count) {
	const u8 *end = at + bytes, *deltas = 0, *deltas_end = 0;
	agent_count = 0;
	pages = 0;
	arguments = arguments_end = 0;
	events = count;
	while (at < end) {
		u64 tag = varint(&at);
		if ((tag & 7) == 0) { varint(&at); continue; }
		if ((tag & 7) != 2) fail("a field that a block has not");
		u64 length = varint(&at);
		const u8 *from = at;
		at += length;
		if (at > end) fail("a field beyond its block");
		switch (tag >> 3) {
		case 2: {
			Agent *a = agents + agent_count++;
			if (agent_count > sizeof agents / sizeof *agents) fail("too many agents");
			*a = (Agent){0};
			while (from < at) {
				u64 field = varint(&from);
				if (field == 49) { memcpy(&a->base, from, 8); from += 8; continue; }
				u32 value = varint(&from);
				if (field == 8) a->kind = value; else if (field == 16) a->vm = value; else if (field == 24) a->vcpu = value; else if (field == 32) a->mm = value;
			}
			break;
		}
		case 4:
			ops = from;
			if (length != count) {
				wide_ops = realloc(wide_ops, count * 4ul);
				for (u32 i = 0; i < count; i++) wide_ops[i] = varint(&from);
				ops = 0;
			} else {
				u8 any = 0;
				for (u32 i = 0; i < count; i++) any |= from[i];
				if (any & 128) fail("a continuation bit in op");
			}
			break;
		case 5: if (length != count * 4ul) fail("pages"); pages = (const u32 *)from; break;
		case 6: deltas = from; deltas_end = at; break;
		case 7: arguments = from; arguments_end = at; break;
		}
	}
	if (deltas) {
		u64 page = 0;
		page_words = realloc(page_words, count * 4ul);
		for (u32 i = 0; i < count; i++) { u64 z = varint(&deltas); page += (z >> 1) ^ -(z & 1); page_words[i] = page; }
		if (deltas != deltas_end) fail("page_delta");
		pages = page_words;
	}
}

static void operate(const Agent *agent, u64 page) {
	u64 a[8] = {0};
	u32 code = varint(&arguments), arity = varint(&arguments);
	if (arity > 8) fail("arguments");
	for (u32 i = 0; i < arity; i++) a[i] = varint(&arguments);
	if (code == 13) {
		Vm *vm = vm_of(agent->vm);
		if (vm->pages || a[2] || !a[3]) fail("a memslot that is not the first");
		n.memslots++;
		vm->pages = a[3];
		vm->hva = page;
		vm->sptes = reserve((a[3] / 512 + 1) * sizeof(u32 *));
		vm->ptes = reserve((a[3] / 512 + 1) * sizeof(u32 *));
		return;
	}
	Vm *vm = vm_of(agent->mm);
	u64 gfn = page - vm->hva;
	if ((code != 4 && code != 5) || a[0] || gfn >= vm->pages) fail("an operation that the benchmark's workloads have not");
	u32 *spte = entry_in(vm->sptes, gfn), *pte = entry_in(vm->ptes, gfn);
	begin(vm, spte, code == 4 ? WRITE_PROTECT : REPLACE);
	n.primary_flushes++;
	if (code == 4) {
		if ((*pte & (PRESENT | WRITABLE)) != (PRESENT | WRITABLE)) fail("a merge of a page that nobody wrote");
		*pte &= ~(u32)WRITABLE;
	} else {
		n.merges++;
		frames_free[free_frames++] = *pte >> FRAME_SHIFT;
		*pte = (1u << 25 | (a[3] & 0xffffff)) << FRAME_SHIFT | KSM | PRESENT;
	}
}

static enum { NONE, LOADS, PREFETCH } touching = LOADS;
static int worth_while;
static u32 touch(u32 from) {
	enum { AHEAD = 64 };
	static const u32 *address[AHEAD];
	if (!worth_while || touching == NONE) return -1;
	u32 end = from + AHEAD < events ? from + AHEAD : events, count = 0, sum = 0;
	for (u32 i = from; i < end; i++) {
		u32 op = ops ? ops[i] : wide_ops[i];
		Agent *agent = agents + (op >> 3);
		if ((op & 7) == 7 || !agent->of) continue;
		const u32 *leaf = agent->of->vm->sptes[pages[i] >> 9];
		if (leaf) address[count++] = leaf + (pages[i] & 511);
	}
	if (touching == PREFETCH) for (u32 i = 0; i < count; i++) __builtin_prefetch(address[i], 1);
	else { for (u32 i = 0; i < count; i++) sum ^= *address[i]; __asm__ volatile("" : : "r"(sum)); }
	return end;
}

static void run(void) {
	u64 writes = 0, accesses = 0, misses = 0;
	u32 untouched = 0;
	for (u32 i = 0; i < events; i++) {
		if (i == untouched) untouched = touch(i);
		u32 op = ops ? ops[i] : wide_ops[i], kind = op & 7;
		if ((op >> 3) >= agent_count) fail("an agent that the block has not");
		Agent *agent = agents + (op >> 3);
		u64 page = agent->base + pages[i];
		if (kind == 7) { operate(agent, page); continue; }
		if (__builtin_expect(!agent->of, 0)) {
			if (agent->kind != 1 || kind > 2) fail("an access that is no guest's");
			agent->of = vcpu_of(agent->vm, agent->vcpu);
		}
		u32 write = kind == 1, need = PRESENT | write << 1;
		accesses++;
		writes += write;
		Vcpu *v = agent->of;
		Set1 *set = v->l1 + (page & 15);
		u32 hit = find1(set, (page >> 4) + 1, need);
		if (__builtin_expect(hit != 0, 1)) { set->order = next_order[set->order][hit]; lookups++; continue; }
		misses++;
		if (page >= v->vm->pages) fail("an access beyond the memslot");
		miss(v, page, write);
	}
	n.writes += writes;
	n.reads += accesses - writes;
	worth_while = misses * 4 > accesses && frames_made > 1 << 17;
	if (arguments != arguments_end) fail("arguments left over");
}

static double now(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}
static u32 word(const u8 *at) { u32 value; memcpy(&value, at, 4); return value; }

static int first = 1;
static void put(const char *name, u64 value) {
	if (!value) return;
	printf("%s\"%s\":%llu", first ? "" : ",", name, (unsigned long long)value);
	first = 0;
}

static void print_counters(void) {
	static const char *causes[] = {"firstTouch", "ksm", "readOnlySpte", "retryAfterCow"}, *sites[] = {"", "cow", "ksmWriteProtect", "ksmReplace"};
	char name[64];
	u64 brackets = n.site[COW].count + n.site[WRITE_PROTECT].count + n.site[REPLACE].count;
	put("accesses.guestRead", n.reads);
	put("accesses.guestWrite", n.writes);
	put("vmexits", n.vmexits);
	put("vmexitsFixed", n.fixed);
	put("vmexitsRetried", n.retried);
	put("vmexitsRead", n.vmexits - n.exit_writes);
	put("vmexitsWrite", n.exit_writes);
	put("vmexitsNotPresent", n.vmexits - n.exit_protection);
	put("vmexitsProtection", n.exit_protection);
	for (int c = 0; c < CAUSES; c++) for (int w = 0; w < 2; w++) {
		snprintf(name, sizeof name, "vmexitsByCause.%s.%s", causes[c], w ? "write" : "read");
		put(name, n.cause[c][w]);
	}
	put("cowBreaks", n.cow_ksm);
	put("cowCopies.ksm", n.cow_ksm);
	put("cowCopies.zero", n.cow_zero);
	put("ksmMerges", n.merges);
	put("ksmWriteProtects", n.site[WRITE_PROTECT].count);
	put("ksmReplaces", n.site[REPLACE].count);
	put("notifier.rangeStart", brackets);
	put("notifier.rangeEnd", brackets);
	put("spteInstalled", n.fixed);
	put("spteZapped", n.zapped);
	put("spteZappedByCause.ksm", n.site[WRITE_PROTECT].present + n.site[REPLACE].present);
	put("spteZappedByCause.cow", n.site[COW].present);
	put("mmuLockWrite", 2 * brackets);
	for (int s = 1; s < SITES; s++) {
		u64 values[] = {n.site[s].count, n.site[s].present, n.site[s].exits, n.site[s].flushes, n.site[s].locks};
		static const char *fields[] = {"count", "sptePresent", "exitsCaused", "flushes", "mmuLockWrite"};
		for (int f = 0; f < 5; f++) { snprintf(name, sizeof name, "bySite.%s.%s", sites[s], fields[f]); put(name, values[f]); }
	}
	put("bySite.memslot.count", n.memslots);
	put("flush.primaryTlb", n.primary_flushes);
	put("flush.guestTlb", n.guest_flushes);
	put("tlb.l1Hit", lookups - n.l1_miss);
	put("tlb.l1Miss", n.l1_miss);
	put("tlb.l2Hit", n.l2_hit);
	put("tlb.l2Miss", n.l2_miss);
	put("walk.count", n.walks);
	put("walk.memoryReferences", n.walks * 24);
}

int main(int argc, char **argv) {
	if (argc < 3) fail("FILE SKIP [loads|prefetch|none]");
	if (argc > 3) touching = !strcmp(argv[3], "prefetch") ? PREFETCH : !strcmp(argv[3], "none") ? NONE : LOADS;
	size_t size = (size_t)4 << 30;
	arena = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED) fail("no memory");
	if (touching == PREFETCH) madvise(arena, size, MADV_HUGEPAGE);
	arena_end = arena + size;
	frames_free = reserve((size_t)64 << 20);
	make_orders();
	int fd = open(argv[1], O_RDONLY);
	if (fd < 0) fail("cannot open the file");
	u64 skip = strtoull(argv[2], 0, 10);
	u8 head[256], *payload = 0;
	size_t capacity = 0;
	off_t at = 0;
	u64 timed = 0;
	double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_THREAD_CPUTIME_ID), reading = 0, decoding = 0, running = 0;
	int on = skip == 0;
	for (;;) {
		ssize_t have = pread(fd, head, sizeof head, at);
		if (have < 2) fail("the file ends in the middle");
		const u8 *p = head;
		u8 tag = *p++;
		if (tag == 0x1a || tag == 0x79) break;
		u64 length = varint(&p);
		if (tag == 0x0a) { at += (p - head) + length; continue; }
		if (tag != 0x12 || p[0] != 0x0a || p[1] != 58) fail("no block where one should be");
		const u8 *h = p + 2;
		if (crc32c(h, 53) != word(h + 54)) fail("a block header with a wrong checksum");
		u32 type = word(h + 6), codec = word(h + 11), stored = word(h + 16), count = word(h + 26);
		u64 sequence;
		memcpy(&sequence, h + 31, 8);
		off_t next = at + (p - head) + length;
		if (type != 1) { at = next; continue; }
		if (codec) fail("a codec");
		if (!on && sequence >= skip) { on = 1; wall = now(CLOCK_MONOTONIC); cpu = now(CLOCK_THREAD_CPUTIME_ID); }
		if (stored + 64 > capacity) payload = realloc(payload, capacity = stored + 64);
		double t0 = now(CLOCK_THREAD_CPUTIME_ID);
		if (pread(fd, payload, stored, next - stored) != (ssize_t)stored) fail("the file ends in a block");
		if (crc32c(payload, stored) != word(h + 49)) fail("a payload with a wrong checksum");
		double t1 = now(CLOCK_THREAD_CPUTIME_ID);
		decode(payload, stored, count);
		double t2 = now(CLOCK_THREAD_CPUTIME_ID);
		run();
		double t3 = now(CLOCK_THREAD_CPUTIME_ID);
		at = next;
		if (!on) continue;
		timed += count;
		reading += t1 - t0;
		decoding += t2 - t1;
		running += t3 - t2;
	}
	printf("{\"events\":%llu,\"seconds\":%.9f,\"cpuSeconds\":%.9f,\"readSeconds\":%.9f,\"decodeSeconds\":%.9f,\"engineSeconds\":%.9f,\"memoryBytes\":%zu,\"counters\":{",
		(unsigned long long)timed, now(CLOCK_MONOTONIC) - wall, now(CLOCK_THREAD_CPUTIME_ID) - cpu, reading, decoding, running, size - (arena_end - arena));
	print_counters();
	puts("}}");
	return 0;
}
