// error_code of kvm_page_fault (PFERR_*, arch/x86/include/asm/kvm_host.h).
import { Access } from "../trace/kinds.js";

export const ErrorCode = { present: 1, write: 2, reserved: 8, fetch: 16 } as const;

export const accessOf = (errorCode: number): Access =>
	(errorCode & ErrorCode.write) !== 0 ? Access.guestWrite : (errorCode & ErrorCode.fetch) !== 0 ? Access.guestFetch : Access.guestRead;
