// How names and numbers out of a file appear in error messages. Hostile names stay short and on one
// line.

const longestShown = 120 // a tensor name of a real model has at most about 80 characters

/** A name from a file in quotes, control characters escaped, cut when it is absurdly long. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length > longestShown ? `${name.slice(0, longestShown)}…` : name)
}

/** The first problems, one a line, and how many more there are. */
export function joinProblems(problems: readonly string[], shown = 8): string {
  const more = problems.length > shown ? [`  … and ${problems.length - shown} more`] : []
  return [...problems.slice(0, shown).map((problem) => `  ${problem}`), ...more].join('\n')
}

/** The product of the dimensions, or undefined if it is not a safe integer. */
export function computeSafeProduct(shape: readonly number[]): number | undefined {
  if (shape.includes(0)) return 0
  let product = 1
  for (const dim of shape) {
    product *= dim
    if (!Number.isSafeInteger(product)) return undefined
  }
  return product
}
