// Decides from votes whether a trial's candidate is better. A user's votes count as one, their
// mean, because ten thumbs of one user are not ten opinions. Votes are judged when each side has 1,
// 2, 4, 8 … times the least number of voters, with a stricter interval each time (Bonferroni over
// the looks: 0.05/2, 0.05/4 …), so that repeated looks find a difference that is not there in at
// most 5 % of trials.

import { random } from '../../base/random.ts'
import type { TrialSide, TrialVote } from './trial.ts'

export interface SideScore {
  /** Mean over voters of their mean reward; NaN if there are none. */
  readonly score: number
  readonly voters: number
  readonly votes: number
}

export interface TrialJudgement {
  /** 'open': too few voters, or no difference beyond the interval yet. */
  readonly verdict: 'better' | 'worse' | 'open'
  /** Of all votes so far. */
  readonly candidate: SideScore
  readonly incumbent: SideScore
  /** Voters of each side at which the next look is due. */
  readonly nextLook: number
  /** Of the last look; undefined before the first. */
  readonly look?: {
    /** Voters of each side that it needed. */
    readonly voters: number
    /** The candidate's score less the incumbent's, with its bootstrap interval. */
    readonly difference: number
    readonly low: number
    readonly high: number
    /** Of the interval: 0.975 at the first look. */
    readonly level: number
  }
}

/** Looks beyond this many would need more samples of a bootstrap than are drawn. */
const mostLooks = 5
const samples = 2000

/** Rewards by voter. */
type Voters = ReadonlyMap<string, readonly number[]>

export function judgeVotes(
  votes: readonly TrialVote[],
  { leastVoters, seed = 0 }: { readonly leastVoters: number; readonly seed?: number },
): TrialJudgement {
  const found = findLook(votes, leastVoters)
  const scores = {
    candidate: scoreSide(groupByVoter(votes, 'candidate')),
    incumbent: scoreSide(groupByVoter(votes, 'incumbent')),
  }
  if (!found) return { verdict: 'open', ...scores, nextLook: leastVoters }
  const seen = votes.slice(0, found.votes)
  const level = 1 - 0.05 / 2 ** (found.number + 1)
  const interval = bootstrapDifference(seen, level, seed)
  const verdict = interval.low > 0 ? 'better' : interval.high < 0 ? 'worse' : 'open'
  const voters = leastVoters * 2 ** found.number
  const nextLook = voters * 2
  return { verdict, ...scores, nextLook, look: { voters, level, ...interval } }
}

const groupByVoter = (votes: readonly TrialVote[], side: TrialSide): Voters => {
  const own = votes.filter((vote) => vote.side === side)
  const groups = Map.groupBy(own, ({ voter }) => voter)
  return new Map([...groups].map(([voter, list]) => [voter, list.map(({ reward }) => reward)]))
}

/** The last look that is due, and the number of votes at that look. */
export function findLook(
  votes: readonly TrialVote[],
  leastVoters: number,
): { readonly number: number; readonly votes: number } | undefined {
  const seen = { candidate: new Set<string>(), incumbent: new Set<string>() }
  let found: { number: number; votes: number } | undefined
  for (const [i, { side, voter }] of votes.entries()) {
    seen[side].add(voter)
    const fewer = Math.min(seen.candidate.size, seen.incumbent.size)
    const next: number = found ? found.number + 1 : 0
    if (next < mostLooks && fewer >= leastVoters * 2 ** next) found = { number: next, votes: i + 1 }
  }
  return found
}

const computeMean = (values: Iterable<number>): number => {
  let sum = 0
  let count = 0
  for (const value of values) {
    sum += value
    count++
  }
  return sum / count
}

const listMeans = (voters: Voters): number[] => [...voters.values()].map(computeMean)

const scoreSide = (voters: Voters): SideScore => ({
  score: computeMean(listMeans(voters)),
  voters: voters.size,
  votes: [...voters.values()].reduce((sum, rewards) => sum + rewards.length, 0),
})

/** Percentile bootstrap over the voters of each side. */
function bootstrapDifference(votes: readonly TrialVote[], level: number, seed: number) {
  const candidate = listMeans(groupByVoter(votes, 'candidate'))
  const incumbent = listMeans(groupByVoter(votes, 'incumbent'))
  const { integer } = random(seed)
  const drawMean = (means: readonly number[]): number => {
    let sum = 0
    for (let i = 0; i < means.length; i++) sum += means[integer(means.length)]!
    return sum / means.length
  }
  const drawn = Float64Array.from(
    { length: samples },
    () => drawMean(candidate) - drawMean(incumbent),
  ).sort()
  const tail = (1 - level) / 2
  return {
    difference: computeMean(candidate) - computeMean(incumbent),
    low: drawn[Math.floor(tail * (samples - 1))]!,
    high: drawn[Math.ceil((1 - tail) * (samples - 1))]!,
  }
}
