// Learners in a server that publishes one version of an expert after the other.

import { describe, expect, it } from 'vitest'
import type { Learner } from '../../learn/learner-calls.ts'
import type { AnsweringExpert } from './answering-expert.ts'
import { OpenLearners } from './open-learners.ts'

const expertOf = (key: string): AnsweringExpert =>
  ({ handle: { name: `expert-${key}`, key: key.repeat(16) } }) as never

/** Learners of experts that a test loads and unloads; `failing`: their store takes nothing. */
function open() {
  const loaded = new Set<string>()
  const closed: string[] = []
  const failing = new Set<string>()
  const learners = new OpenLearners({
    isLoaded: (key) => loaded.has(key[0]!),
    create: (_expert, scope) =>
      ({
        close: async () => {
          await new Promise<void>((resolve) => void setTimeout(resolve, 1))
          if (failing.has(scope[0]!)) throw new Error('disk full')
          closed.push(scope.slice(0, 1))
        },
      }) as Learner,
  })
  const answer = async (key: string): Promise<void> => {
    loaded.add(key)
    ;(await learners.hold(expertOf(key))).release()
  }
  return { loaded, closed, failing, learners, answer }
}

describe('learners of a server', () => {
  it('are closed when their expert is unloaded, however many versions are published', async () => {
    const { loaded, closed, learners, answer } = open()
    for (const key of 'abcdef') {
      await answer(key)
      loaded.delete(key)
    }
    await learners.closeUnloaded()
    expect(closed.toSorted().join('')).toBe('abcdef')
    expect(learners.size).toBe(1) // of the base
  })

  it('stay open while an answer runs, and are closed at its end', async () => {
    const { loaded, closed, learners } = open()
    loaded.add('a')
    const held = await learners.hold(expertOf('a'))
    loaded.delete('a')
    await learners.closeUnloaded()
    expect([closed, learners.size]).toEqual([[], 2])
    expect(await learners.find('a'.repeat(16) + '\n')).toBeUndefined()
    held.release()
    held.release()
    await expect.poll(() => learners.size).toBe(1)
    expect(closed).toEqual(['a'])
  })

  it('are opened again only after the last one has saved its users', async () => {
    const { loaded, closed, learners, answer } = open()
    await answer('a')
    loaded.delete('a')
    const closing = learners.closeUnloaded()
    loaded.add('a')
    const again = await learners.hold(expertOf('a'))
    expect(closed).toEqual(['a'])
    await closing
    expect(learners.size).toBe(2)
    expect(again.name).toBe('expert-a')
  })

  it('stay while their users cannot be saved, and are tried again', async () => {
    const { loaded, failing, learners, answer } = open()
    await answer('a')
    loaded.delete('a')
    failing.add('a')
    await learners.closeUnloaded()
    expect(learners.size).toBe(2)
    failing.delete('a')
    await learners.closeUnloaded()
    expect(learners.size).toBe(1)
  })
})
