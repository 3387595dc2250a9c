// Shared by tasks: drawing from lists, and parsing numbers, words and lists from answers.

import type { Random } from '../../../base/random.ts'

export const pick = <Item>(random: Random, items: readonly Item[]): Item =>
  items[random.integer(items.length)]!

/** An integer from `least` to `most`. */
export const drawInteger = (random: Random, least: number, most: number): number =>
  least + random.integer(most - least + 1)

/** `count` different items, in a random order. */
export const sample = <Item>(random: Random, items: readonly Item[], count: number): Item[] =>
  random.shuffle(items).slice(0, count)

export const addLineNumbers = (lines: readonly string[]): string =>
  lines.map((line, i) => `${i + 1}: ${line}`).join('\n')

/** The last number of a text: explanations come before the answer. NaN if there is none. */
export const parseLastNumber = (text: string): number =>
  Number(text.match(/-?\d+(?:\.\d+)?/g)?.at(-1) ?? NaN)

export const isExpectedNumber = (text: string, expected: unknown, tolerance = 0): boolean =>
  typeof expected === 'number' && Math.abs(parseLastNumber(text) - expected) <= tolerance

const splitWords = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}_-]+/gu) ?? []

/** Which of the choices an answer names, each once, in the answer's order. */
export function listNamedChoices(text: string, choices: readonly string[]): string[] {
  const known = new Map(choices.map((choice) => [choice.toLowerCase(), choice]))
  return [...new Set(splitWords(text).flatMap((word) => known.get(word) ?? []))]
}

/** Whether an answer names this choice and no other. */
export const isExpectedChoice = (text: string, expected: unknown, choices: unknown): boolean => {
  const found = listNamedChoices(text, choices as readonly string[])
  return found.length === 1 && found[0] === expected
}
