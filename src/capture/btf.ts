// Where the members of the kernel's structs lie, from its own type data (/sys/kernel/btf/vmlinux): the one source that no distribution's build can
// make wrong. Documentation/bpf/btf.rst.
//
//	header 24 | types: { name u32 | info: kind_flag 1, kind 5, vlen 16 | size or type u32 } and what its kind adds | strings, 0-terminated

const MAGIC = 0xeb9f;
const HEADER = 24;
const TYPE = 12;
const MEMBER = 12;

const Kind = { struct: 4, union: 5, typedef: 8, volatile: 9, const: 10, restrict: 11, typeTag: 18 } as const;
const MODIFIERS: ReadonlySet<number> = new Set([Kind.typedef, Kind.volatile, Kind.const, Kind.restrict, Kind.typeTag]);

/** Bytes that follow a type, by its kind: a fixed number and one for each of vlen. */
const TAIL: readonly (readonly [fixed: number, each: number])[] = [
	[0, 0],
	[4, 0],
	[0, 0],
	[12, 0],
	[0, 12],
	[0, 12],
	[0, 8],
	[0, 0],
	[0, 0],
	[0, 0],
	[0, 0],
	[0, 0],
	[0, 0],
	[0, 8],
	[4, 0],
	[0, 12],
	[0, 0],
	[4, 0],
	[0, 0],
	[0, 12],
];

export class KernelTypes {
	readonly #view: DataView;
	readonly #bytes: Uint8Array;
	readonly #strings: number;
	/** Byte of each type by its id, from 1. */
	readonly #types: number[] = [0];
	readonly #structs = new Map<string, number>();

	/** @throws RangeError where the bytes are no BTF */
	constructor(bytes: Uint8Array) {
		this.#bytes = bytes;
		this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		if (bytes.length < HEADER || this.#u16(0) !== MAGIC) throw new RangeError("no BTF");
		const header = this.#u32(4);
		const first = header + this.#u32(8);
		const end = first + this.#u32(12);
		this.#strings = header + this.#u32(16);
		for (let at = first; at + TYPE <= end; ) {
			const { kind, length } = this.#info(at);
			const tail = TAIL[kind];
			if (tail === undefined) throw new RangeError(`BTF kind ${kind}`);
			const id = this.#types.push(at) - 1;
			if (kind === Kind.struct) this.#structs.set(this.#string(this.#u32(at)), id);
			at += TYPE + tail[0] + tail[1] * length;
		}
	}

	has(struct: string): boolean {
		return this.#structs.has(struct);
	}

	/** Bytes from the struct's begin to a member, also one of an unnamed struct within; undefined where there is none. */
	offset(struct: string, member: string): number | undefined {
		const id = this.#structs.get(struct);
		return id === undefined ? undefined : this.#find(id, member, 8);
	}

	#find(id: number, member: string, depth: number): number | undefined {
		const at = this.#types[id];
		if (depth === 0 || at === undefined) return undefined;
		const { kind, length, flag } = this.#info(at);
		if (MODIFIERS.has(kind)) return this.#find(this.#u32(at + 8), member, depth - 1);
		if (kind !== Kind.struct && kind !== Kind.union) return undefined;
		for (let index = 0; index < length; index++) {
			const field = at + TYPE + index * MEMBER;
			const bits = flag ? this.#u32(field + 8) & 0xff_ffff : this.#u32(field + 8);
			const name = this.#string(this.#u32(field));
			if (name === member) return bits / 8;
			const within = name === "" ? this.#find(this.#u32(field + 4), member, depth - 1) : undefined;
			if (within !== undefined) return bits / 8 + within;
		}
		return undefined;
	}

	#info(at: number): { kind: number; length: number; flag: boolean } {
		const info = this.#u32(at + 4);
		return { kind: (info >>> 24) & 0x1f, length: info & 0xffff, flag: info >>> 31 === 1 };
	}

	#string(offset: number): string {
		const from = this.#strings + offset;
		const end = this.#bytes.indexOf(0, from);
		return Buffer.from(this.#bytes.subarray(from, end)).toString("latin1");
	}

	#u16(at: number): number {
		return this.#view.getUint16(at, true);
	}

	#u32(at: number): number {
		return this.#view.getUint32(at, true);
	}
}
