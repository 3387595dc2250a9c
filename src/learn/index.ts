// A model that learns from every request: tiers of each user over a frozen model's head.

export { ConflictError } from '../base/errors.ts'
export {
  type AdapterMicroLoraOptions,
  fromMicroLora,
  type MicroLoraOrigin,
  toMicroLora,
} from '../adapters/micro-lora.ts'
export { createLearner } from './learner.ts'
export type { LearnedTurn, Learner, LearnerEvent } from './learner-calls.ts'
export type { UnlearningResult } from './updates/unlearn-turn.ts'
export type { LearnerOptions } from './learner-options.ts'
export type { SlowTierOptions, SlowVersion } from './slow/train-slow-tier.ts'
export type { GateResult } from './slow/validation-gate.ts'
export * from './store/index.ts'
export { createHeadLoss, type HeadLoss, type LossGradient } from './tiers/head-gradient.ts'
export { HeadTier } from './tiers/head-tier.ts'
export type { LayerTier, LayerTierInput } from './tiers/layer-tier.ts'
export type { LogitSummary } from './tiers/logit-summary.ts'
export type { GateState } from './tiers/memory-gate.ts'
export { MemoryTier } from './tiers/memory-tier.ts'
export type { Retrieval } from './tiers/retrieval.ts'
export type {
  Breadth,
  HeadTierOptions,
  LayerTierOptions,
  MemoryTierOptions,
  TierStackOptions,
  TierTargets,
} from './tiers/tier-options.ts'
export { createTierStack, type TierStack } from './tiers/tier-stack.ts'
export type {
  Observation,
  Scores,
  TrainingExample,
  UpdateResult,
} from './tiers/training-example.ts'
export type { TurnExample } from './turns/encode-turn.ts'
export {
  computeReward,
  createRewardRecord,
  type LearningSignal,
  type RewardOptions,
  type RewardRecord,
  scoreSignal,
} from './turns/reward.ts'
export type { GuardOptions } from './updates/canary-guard.ts'
export type { ConsolidateUserOptions, ConsolidationResult } from './updates/consolidate-user.ts'
export type {
  ConsolidationMethod,
  ConsolidationSchedule,
  ConsolidationTrigger,
} from './updates/consolidation-schedule.ts'
export type { FeedbackResult } from './updates/learn-turn.ts'
export type { LearnerWarning, UserStatistics } from './users/statistics.ts'
export type { NumberedVersion } from './users/user.ts'
export {
  type RewardResult,
  type RewardRound,
  trainByRewards,
  type TrainByRewardsOptions,
} from './rewards/train-by-rewards.ts'
