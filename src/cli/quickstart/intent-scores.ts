// How well answers name intent and slots: valid JSON, intent, F1 over slots, exact match. Pure.

import { pythonJson, sameJson } from './json-text.ts'

export interface IntentScores {
  /** Answers that are JSON at all. */
  readonly valid: number
  /** Answers whose intent is right. */
  readonly intent: number
  /** Answers that equal the wanted value, the order of keys apart. */
  readonly exact: number
  /** 2·right/(given + wanted) over slot name and value, all rows together. */
  readonly slotF1: number
}

const slotsOf = (value: unknown): Set<string> => {
  const slots = (value as { slots?: unknown } | null)?.slots
  return new Set(typeof slots === 'object' && slots !== null ? Object.entries(slots).map((slot) => pythonJson(slot)) : [])
}

function parsed(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

/** Scores texts against the JSON texts they should be. */
export function scoreIntents(answers: readonly string[], wanted: readonly string[]): IntentScores {
  let [valid, intent, exact, right, slots] = [0, 0, 0, 0, 0]
  wanted.forEach((text, i) => {
    const target = JSON.parse(text) as { intent: unknown }
    const targetSlots = slotsOf(target)
    slots += targetSlots.size
    const answer = parsed(answers[i] ?? '')
    if (!answer) return
    valid++
    if (sameJson(answer.value, target)) exact++
    if ((answer.value as { intent?: unknown } | null)?.intent === target.intent) intent++
    const given = slotsOf(answer.value)
    slots += given.size
    right += [...given].filter((slot) => targetSlots.has(slot)).length
  })
  return { valid, intent, exact, slotF1: slots === 0 ? 0 : (2 * right) / slots }
}
