// The cost of a bandit's learning: cumulative regret against the oracle over simulated turns,
// compared with a fixed and a random choice, with and without the cost of loading; and what loading
// ahead by sessions' histories saves.

import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  summarizeValues,
} from '../../../src/cli/bench/benchmark.ts'
import { random } from '../../../src/base/random.ts'
import { createRouter, computeHitRate, Preloader, type Router } from '../../../src/route/index.ts'
import {
  drawTurns,
  getQuality,
  simulatedExperts,
  SimulatedPool,
  type SimulatedTurn,
} from './simulated-turns.ts'

const turnCount = 5000
const seeds = [0, 1, 2]
const slots = 4
const loadCost = 0.1
const loadMs = 30

/** Chooses an expert for a turn, and receives its reward. */
interface Player {
  choose(turn: SimulatedTurn, resident: readonly string[]): Promise<string> | string
  learn?(turn: SimulatedTurn, expert: string, reward: number): Promise<void>
}

/** What a player was worth at each turn, in expectation: quality less the cost of loading. */
async function simulateTurns(
  turns: readonly SimulatedTurn[],
  player: Player,
  cost: number,
): Promise<{ worth: Float64Array; loads: number }> {
  const pool = new SimulatedPool(slots)
  const worth = new Float64Array(turns.length)
  for (const [i, turn] of turns.entries()) {
    const expert = await player.choose(turn, pool.resident)
    const quality = getQuality(expert, turn.right)
    const isLoaded = pool.enter(expert)
    worth[i] = quality - (isLoaded ? cost : 0)
    await player.learn?.(turn, expert, turn.luck < quality ? 1 : 0)
  }
  return { worth, loads: pool.loads }
}

/** Knows the right expert, and takes another one where loading costs more than it gains. */
const createOracle = (cost: number): Player => ({
  choose({ right }, resident) {
    const net = (name: string): number =>
      getQuality(name, right) - (resident.includes(name) ? 0 : cost)
    return simulatedExperts.reduce((best, name) => (net(name) > net(best) ? name : best), right)
  },
})

function createRandom(seed: number): Player {
  const draw = random(seed)
  return { choose: () => simulatedExperts[draw.integer(simulatedExperts.length)]! }
}

/** The one expert that is best on the whole. */
function createFixed(turns: readonly SimulatedTurn[]): Player {
  const total = (name: string): number =>
    turns.reduce((sum, { right }) => sum + getQuality(name, right), 0)
  const best = simulatedExperts.toSorted((a, b) => total(b) - total(a))[0]!
  return { choose: () => best }
}

/** A bandit that starts without knowing anything; `sees`: whether it knows what is in memory. */
async function createBandit(
  method: string,
  cost: number,
  seed: number,
  sees: boolean,
): Promise<Player> {
  const experts = simulatedExperts.map((name) => ({ name }))
  const options = { method, loadCost: cost, width: 48, seed, exploration: 0.15, even: 0.01 }
  const router: Router = await createRouter({ kind: 'bandit', experts, options })
  let decided: Awaited<ReturnType<Router['decide']>>
  return {
    async choose({ text }, resident) {
      decided = await router.decide({ text, ...(sees && { resident }) })
      return decided.expert!
    },
    learn: async ({ text }, _expert, reward) =>
      router.learn!({ request: { text }, decision: decided, reward }),
  }
}

interface Contender {
  readonly name: string
  create(seed: number, turns: readonly SimulatedTurn[]): Player | Promise<Player>
}

const listContenders = (cost: number): Contender[] => [
  { name: 'fixed', create: (_seed, turns) => createFixed(turns) },
  { name: 'random', create: (seed) => createRandom(seed) },
  ...['linucb', 'thompson'].flatMap((method): Contender[] => [
    { name: method, create: (seed) => createBandit(method, cost, seed, true) },
    ...(cost > 0
      ? [
          {
            name: `${method}, without the loaded state`,
            create: (seed: number) => createBandit(method, cost, seed, false),
          },
        ]
      : []),
  ]),
]

const sumOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0)

async function* measureRegret(
  cost: number,
  progress: BenchmarkContext['progress'],
): AsyncGenerator<BenchmarkRow> {
  for (const { name, create } of listContenders(cost)) {
    const regrets: number[] = []
    const late: number[] = []
    const loads: number[] = []
    for (const seed of seeds) {
      progress(`${name}, loading costs ${cost}, seed ${seed}`)
      const turns = drawTurns(turnCount, seed)
      const best = await simulateTurns(turns, createOracle(cost), cost)
      const own = await simulateTurns(turns, await create(seed, turns), cost)
      const lost = own.worth.map((value, i) => best.worth[i]! - value)
      regrets.push(sumOf(lost))
      late.push(sumOf(lost.subarray(-1000)))
      loads.push(own.loads / turnCount)
    }
    yield {
      name: `${name}, loading costs ${cost}`,
      unit: 'regret over 5,000 turns',
      higherIsBetter: false,
      ours: summarizeValues(regrets),
      note: `last 1,000 turns ${summarizeValues(late).median.toFixed(0)}; loads at ${(100 * summarizeValues(loads).median).toFixed(0)} % of the turns`,
      figures: { regrets, late, loads },
    }
  }
}

/** The oracle's choices, and a pool with or without a prediction of the next expert. */
async function measurePreloading(seed: number, sessions: number) {
  const turns = drawTurns(turnCount, seed, sessions)
  const pool = new SimulatedPool(slots)
  let time = 0
  const load = (name: string): void => {
    if (pool.enter(name)) time += loadMs
  }
  const preloader = new Preloader({
    pool: { preload: async (name) => (load(name), true) },
    resident: () => pool.resident,
    now: () => time,
  })
  for (const { session, right } of turns) {
    // The request's own expert is loaded first; what its session asks next is loaded behind it.
    const ahead = preloader.note(session, right)
    await ahead
    pool.enter(right)
  }
  return preloader.statistics
}

async function* measurePreloads(sessions: number): AsyncGenerator<BenchmarkRow> {
  const all = []
  for (const seed of seeds) all.push(await measurePreloading(seed, sessions))
  const name = `loading ahead, ${sessions} ${sessions === 1 ? 'session' : 'sessions'} at once`
  yield {
    name: `${name}: hits`,
    unit: '% of requests that would have waited',
    higherIsBetter: true,
    ours: summarizeValues(all.map((one) => 100 * computeHitRate(one))),
    note: `${slots} slots for ${simulatedExperts.length} experts, the usual expert follows at 60 % of the turns; ${all.map(({ loads, wasted }) => `${wasted} of ${loads}`).join(', ')} loads were for nothing`,
  }
  yield {
    name: `${name}: saved`,
    unit: 'ms per request',
    higherIsBetter: true,
    ours: summarizeValues(all.map(({ savedMs, requests }) => savedMs / requests)),
    note: `where loading takes ${loadMs} ms`,
  }
}

export const routingBandit: Benchmark = {
  name: 'routing-bandit',
  summary: 'regret of bandits over simulated turns, with and without the cost of loading',
  needs: 'nothing',
  async *run({ progress }) {
    for (const cost of [0, loadCost]) yield* measureRegret(cost, progress)
    for (const sessions of [1, 8]) yield* measurePreloads(sessions)
  },
}
