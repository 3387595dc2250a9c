// Which users get the new version, and when votes are sufficient to call it better.

import { describe, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { assignSide } from './assign-side.ts'
import { judgeVotes } from './judge-votes.ts'
import type { Trial, TrialSide, TrialVote } from './trial.ts'

const trial: Trial = {
  number: 1,
  id: 'coder',
  candidate: '1.1.0-rc.1',
  incumbent: '1.0.0',
  share: 0.2,
  leastVoters: 10,
  startedAt: '2026-01-01T00:00:00Z',
  state: 'running',
}

describe('the share of a trial', () => {
  it('is met by users, each of whom stays with one version', () => {
    const users = Array.from({ length: 5000 }, (_, i) => `user ${i}`)
    const sides = users.map((user) => assignSide(trial, user))
    expect(users.map((user) => assignSide(trial, user))).toEqual(sides)
    const share = sides.filter((side) => side === 'candidate').length / users.length
    expect(Math.abs(share - 0.2)).toBeLessThan(0.02)
    // another trial draws anew
    const again = users.map((user) => assignSide({ ...trial, number: 2 }, user))
    expect(again).not.toEqual(sides)
    expect(assignSide({ ...trial, share: 1 }, 'x')).toBe('candidate')
  })
})

const makeVotes = (side: TrialSide, rewards: readonly number[], voter = side): TrialVote[] =>
  rewards.map((reward, i) => ({ side, voter: `${voter} ${i}`, reward }))

describe('votes', () => {
  const up = Array<number>(12).fill(1)
  const down = Array<number>(12).fill(0)
  it('decide nothing before each version has the least number of voters', () => {
    const votes = [...makeVotes('candidate', up.slice(3)), ...makeVotes('incumbent', down)]
    expect(judgeVotes(votes, { leastVoters: 10 })).toMatchObject({ verdict: 'open', nextLook: 10 })
    expect(judgeVotes([], { leastVoters: 10 }).verdict).toBe('open')
  })
  it('call the better and the worse by the interval of the difference', () => {
    const better = judgeVotes([...makeVotes('candidate', up), ...makeVotes('incumbent', down)], {
      leastVoters: 10,
    })
    expect(better).toMatchObject({ verdict: 'better', candidate: { score: 1, voters: 12 } })
    expect(better.look).toMatchObject({ voters: 10, difference: 1, level: 0.975 })
    const worse = [...makeVotes('candidate', down), ...makeVotes('incumbent', up)]
    expect(judgeVotes(worse, { leastVoters: 10 }).verdict).toBe('worse')
    const even = [...up.slice(6), ...down.slice(6)]
    const votes = [...makeVotes('candidate', even), ...makeVotes('incumbent', even)]
    expect(judgeVotes(votes, { leastVoters: 10 }).verdict).toBe('open')
  })
  it('of one user count as one', () => {
    const loud = Array.from({ length: 50 }, () => ({
      side: 'candidate' as const,
      voter: 'ada',
      reward: 1,
    }))
    const others = [...makeVotes('candidate', down.slice(1)), ...makeVotes('incumbent', down)]
    const { verdict, candidate } = judgeVotes([...loud, ...others], { leastVoters: 10 })
    expect([verdict, candidate.voters, candidate.votes]).toEqual(['open', 12, 61])
    expect(candidate.score).toBeCloseTo(1 / 12, 10)
  })
  it('of two equal versions are called different in at most 5 % of trials, however often one asks', () => {
    const { uniform } = random(7)
    let wrong = 0
    const trials = 120
    for (let i = 0; i < trials; i++) {
      const votes: TrialVote[] = []
      let isCalled = false
      for (let n = 0; n < 40 && !isCalled; n++) {
        for (const side of ['candidate', 'incumbent'] as const)
          votes.push({ side, voter: `${side} ${n}`, reward: uniform() < 0.6 ? 1 : 0 })
        if (n % 20 === 19)
          // nothing is looked at between
          isCalled = judgeVotes(votes, { leastVoters: 20, seed: i }).verdict !== 'open'
      }
      if (isCalled) wrong++
    }
    expect(wrong / trials).toBeLessThanOrEqual(0.09) // 5 % and two standard errors of 120 trials
  })
})
