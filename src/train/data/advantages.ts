// How good an answer is compared with others to the same prompt: the group-relative advantage of
// GRPO. Shao et al. 2024, arXiv:2402.03300, section 4.1.

import type { Example } from './data-format.ts'

/** The reward of an answer, and the group of its prompt. */
export interface Grade {
  readonly group: string
  readonly reward: number
}

/** Prevents noise in a group whose rewards hardly differ; the value of TRL. */
const floor = 1e-4

/**
 * (r − mean of the group) / (sample standard deviation + 1e-4); 0 if all rewards of a group are
 * equal. Undefined if there is no grade.
 */
export function computeAdvantages(grades: readonly (Grade | undefined)[]): (number | undefined)[] {
  const rewards = new Map<string, number[]>()
  for (const grade of grades)
    if (grade) rewards.set(grade.group, [...(rewards.get(grade.group) ?? []), grade.reward])
  return grades.map((grade) => {
    if (!grade) return undefined
    const all = rewards.get(grade.group)!
    const mean = all.reduce((sum, reward) => sum + reward, 0) / all.length
    const squares = all.reduce((sum, reward) => sum + (reward - mean) ** 2, 0)
    const deviation = Math.sqrt(squares / Math.max(1, all.length - 1))
    return deviation === 0 ? 0 : (grade.reward - mean) / (deviation + floor)
  })
}

/** The grade of a graded example; answers to one prompt form a group. */
export const readGrade = (example: Example): Grade | undefined => {
  if (example.kind !== 'graded') return undefined
  const { answer, reward } = example
  const asked =
    answer.kind === 'chat'
      ? answer.messages.slice(0, -1)
      : answer.kind === 'text'
        ? ''
        : answer.prompt
  return { group: JSON.stringify(asked), reward }
}
