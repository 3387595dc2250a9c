// The table of studies: research programs that need a checkout, Python or hours. They are not part
// of the package.

import type { Benchmark } from '../../src/cli/bench/benchmark.ts'
import { exchangeStudy } from './exchange/exchange.ts'
import { consensusStudy } from './agents/consensus.ts'
import { rewardStudy } from './agents/rewards.ts'
import { engineProfile } from './engine/engine-profile.ts'
import { forgetting } from './forgetting.ts'
import { halfKvStudy } from './engine/half-kv.ts'
import { kindsStudy } from './kinds.ts'
import { learn } from './learn.ts'
import { longContext } from './long-context.ts'
import { programsStudy } from './engine/programs.ts'
import { qlora } from './qlora.ts'
import { rates } from './rates.ts'
import { routing } from './routing/routing.ts'
import { routingBandit } from './routing/routing-bandit.ts'
import { sizes } from './sizes/sizes.ts'
import { routingPolicy } from './routing/routing-policy.ts'
import { speculationStudy } from './speculation/speculation.ts'
import { structuredStudy } from './structured.ts'
import { thumbs } from './thumbs.ts'
import { trainBesideStudy } from './worker/train-beside.ts'
import { workerStudy } from './worker/worker-cost.ts'

export const studies: ReadonlyMap<string, Benchmark> = new Map(
  [
    qlora,
    forgetting,
    learn,
    thumbs,
    rates,
    kindsStudy,
    longContext,
    programsStudy,
    halfKvStudy,
    speculationStudy,
    structuredStudy,
    workerStudy,
    trainBesideStudy,
    engineProfile,
    routing,
    routingBandit,
    sizes,
    routingPolicy,
    exchangeStudy,
    consensusStudy,
    rewardStudy,
  ].map((study) => [study.name, study]),
)
