// A command line as one line of text, as a shell takes it.

/** `graft train --data "my rows.jsonl"` */
export const formatCommandLine = (words: readonly string[]): string =>
  words.map((word) => (/^[\w@%+=:,./^~-]+$/.test(word) ? word : JSON.stringify(word))).join(' ')
