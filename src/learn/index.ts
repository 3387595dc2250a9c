// A model that learns from every request: tiers of one user over a frozen model's head.

export { type GateState, computeInterpolationWeight } from './tiers/memory-gate.ts'
export { LayerTier, type LayerTierInput, type LayerTierOptions } from './tiers/layer-tier.ts'
export {
  createLayerTiers,
  combineExperts,
  gatherKeys,
  learnLayers,
  type LayerTrainingExample,
  type LayerTiers,
  type LayerTiersOptions,
} from './tiers/layer-tier-program.ts'
export { HeadTier, type HeadTierOptions } from './tiers/head-tier.ts'
export {
  createHeadLoss,
  type Breadth,
  type LossGradient,
  type HeadLoss,
} from './tiers/head-gradient.ts'
export { MemoryTier, type MemoryTierOptions, type Retrieval } from './tiers/memory-tier.ts'
export type { LogitSummary } from './tiers/logit-summary.ts'
export {
  createTierStack,
  type TrainingExample,
  type Scores,
  type Observation,
  type TierStack,
  type TierStackOptions,
} from './tiers/tier-stack.ts'
export {
  trainSlowTier,
  type GateResult,
  evaluateGate,
  type SlowTierOptions,
  type SlowVersion,
} from './slow/train-slow-tier.ts'
export { createLearner, type LearnedTurn, type Learner, type LearnerEvent } from './learner.ts'
export type {
  ConsolidationMethod,
  GuardOptions,
  LearnerOptions,
  ConsolidationSchedule,
  ConsolidationTrigger,
} from './learner-options.ts'
export type { ConsolidationResult, ConsolidateUserOptions } from './slow/consolidate-user.ts'
export { foldAdapters, type FoldedAdapter } from './slow/fold-adapters.ts'
export type { NumberedVersion } from './user.ts'
export type { LearnerWarning, UserStatistics } from './users/statistics.ts'
export type { FeedbackResult } from './turns/learn-turn.ts'
export { type TurnExample, selectKeyLayer } from './turns/turns.ts'
export { type TierTargets, targetStrategies } from './tiers/tier-targets.ts'
export {
  scoreSignal,
  type LearningSignal,
  createRewardRecord,
  type RewardOptions,
  computeReward,
  type RewardRecord,
} from './turns/reward.ts'
export { ConflictError } from '../base/errors.ts'
export * from './store/index.ts'
