// Parses --targets.

/**
 * A preset stays a word; names become a list; anything else is a regular expression over module
 * paths.
 */
export function parseTargets(text: string, presetNames: readonly string[]): string | string[] {
  if (presetNames.includes(text)) return text
  return /^[\w.]+(\s*,\s*[\w.]+)*$/.test(text.trim())
    ? text.split(',').map((name) => name.trim())
    : text
}
