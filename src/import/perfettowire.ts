export const looksLikePerfetto = (_head: Uint8Array): boolean => false;
