// Answers for a user whose tiers are active: each copy is a separate request, because each is a
// turn.

import type { EngineRequest, EngineSequence } from '../../runtime/engine/engine.ts'
import { type AnsweringExpert, canLearnOn } from '../learning/answering-expert.ts'
import type { AnswererParts, AnswerPlan } from './answer-plan.ts'

/**
 * Whether a user's tiers are active: the request names a user, the server learns, and the base or a
 * single expert answers. A mixture has no tiers, because they would belong to none of its experts.
 */
export function isLearned(
  { request, chosen }: Pick<AnswerPlan, 'request' | 'chosen'>,
  { learning, experts }: Pick<AnswererParts, 'learning' | 'experts'>,
): boolean {
  const { spec, names } = chosen
  if (!learning || request.user === undefined) return false
  if (spec === undefined) return true
  return names.length === 1 && spec === names[0] && canLearnOn(experts.get(names[0]))
}

export async function addLearnedAnswers(
  { request, chosen, learned }: AnswerPlan,
  asked: EngineRequest,
  { engine, learning, experts }: AnswererParts,
): Promise<EngineSequence[]> {
  const [name] = chosen.names
  const expert: AnsweringExpert | undefined = name === undefined ? undefined : experts.get(name)
  const sequences: EngineSequence[] = []
  for (let copy = 0; copy < request.copies; copy++) {
    const index = asked.index! + copy
    const answer = await learning!.startAnswer(request.user!, expert, asked.prompt)
    const { adapter, ...tiers } = answer.request
    // The name keeps it in its slot.
    const isItself = adapter === expert?.handle.expert
    const own = { ...tiers, adapter: isItself ? asked.adapter : adapter, index }
    learned.set(index, answer)
    sequences.push(await engine.add(Object.assign({}, asked, own)))
  }
  return sequences
}
