// Answers of the base and of experts, and what thumbs and corrections teach on top of each: a
// learner for each expert, whose state is in IndexedDB.

import {
  createLearner,
  openIndexedDbStore,
  type Learner,
  type WebModel,
  type Prompt,
} from 'graftlm/web'
import { openExpert } from './expert-shelf.ts'
import type { AnswerRequest, AnswerResult } from './protocol.ts'

/** One user of one browser; a page with accounts gives their names. */
const user = 'me'

interface Judged {
  readonly expert: string
  readonly turn: number
}

export interface Talk {
  answer(
    request: AnswerRequest,
    tell: (text: string) => void,
    signal: AbortSignal,
  ): Promise<AnswerResult>
  judge(request: Judged & { readonly isGood: boolean }): Promise<void>
  correct(request: Judged & { readonly completion: string }): Promise<void>
  /** Forgets what was taught on top of an expert. */
  forget(expert: string): Promise<void>
  /** The expert has changed: the next answer reads it anew. */
  renew(expert: string): Promise<void>
  close(): Promise<void>
}

/** What is taught on top of an expert is kept apart for each base and each expert. */
async function createExpertLearner(model: WebModel, name: string): Promise<Learner> {
  const expert = name === '' ? undefined : await openExpert(name)
  const store = await openIndexedDbStore(`graft-taught/${model.source}/${name}`)
  return createLearner({ model, store, ...(expert && { expert }) })
}

type AnswerEvents = ReturnType<WebModel['generate']> | ReturnType<Learner['generate']>

/** An answer from its events; `tell` gets the text piece by piece. */
async function collectAnswer(
  events: AnswerEvents,
  tell: (text: string) => void,
): Promise<AnswerResult> {
  let result: AnswerResult | undefined
  let turn: number | undefined
  const start = performance.now()
  for await (const event of events) {
    if (event.type === 'text-delta') tell(event.text)
    if (event.type === 'generation-end')
      result = {
        text: event.text,
        tokens: event.ids.length,
        seconds: (performance.now() - start) / 1000,
      }
    if (event.type === 'turn-end') turn = event.turn
  }
  if (!result) throw new Error('An answer ends with the event generation-end.')
  return turn === undefined ? result : Object.assign(result, { turn })
}

export function createTalk(model: WebModel): Talk {
  const learners = new Map<string, Promise<Learner>>()

  function getLearner(name: string): Promise<Learner> {
    const known = learners.get(name)
    if (known) return known
    const made = createExpertLearner(model, name)
    learners.set(name, made)
    made.catch(() => learners.delete(name))
    return made
  }
  async function closeLearner(name: string): Promise<void> {
    const learner = learners.get(name)
    learners.delete(name)
    await (await learner)?.close()
  }

  return {
    async answer({ prompt, expert, maxTokens = 64, temperature = 0 }, tell, signal) {
      const asked: Prompt = model.base.chatTemplate ? [{ role: 'user', content: prompt }] : prompt
      // A model without chat training has no end-of-answer token: a line break ends its answer.
      const stop = model.base.chatTemplate ? [] : ['\n']
      const options = { maxTokens, temperature, signal, stop }
      const events =
        expert === undefined
          ? model.generate(asked, options)
          : (await getLearner(expert)).generate(asked, Object.assign(options, { user }))
      return collectAnswer(events, tell)
    },
    async judge({ expert, turn, isGood }) {
      const learner = await getLearner(expert)
      await learner.feedback({ user, turn, feedback: isGood ? 'up' : 'down' })
      await learner.flush()
    },
    async correct({ expert, turn, completion }) {
      const learner = await getLearner(expert)
      await learner.correct({ user, turn, completion })
      await learner.flush()
    },
    async forget(expert) {
      await (await getLearner(expert)).forget(user)
    },
    renew: closeLearner,
    async close() {
      await Promise.all([...learners.keys()].map(closeLearner))
    },
  }
}
