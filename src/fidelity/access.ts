// Which accesses write.
import { Access } from "../trace/kinds.js";

export function isWriteAccess(access: number): boolean {
	return access === Access.guestWrite || access === Access.hostWrite || access === Access.deviceWrite;
}
