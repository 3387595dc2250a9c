// A model that learns from every request: tiers of one user over a frozen model's head.

export { type GateState, memoryShare } from './tiers/memory-gate.ts'
export { DeepTier, type DeepInput, type DeepTierOptions } from './tiers/layer-tier.ts'
export {
  createDeepTiers,
  expertOf,
  keysOf,
  learnDeep,
  type DeepLesson,
  type DeepTiers,
  type DeepTiersOptions,
} from './tiers/layer-tier-program.ts'
export { FastTier, type FastTierOptions } from './tiers/head-tier.ts'
export {
  headErrors as createHeadErrors,
  type Breadth,
  type HeadError,
  type HeadErrors,
} from './tiers/head-gradient.ts'
export { MemoryTier, type MemoryOptions, type Recall } from './tiers/memory-tier.ts'
export type { Note } from './tiers/logit-summary.ts'
export {
  createStudent,
  type Lesson,
  type Reading,
  type Sight,
  type Student,
  type StudentOptions,
} from './tiers/tier-stack.ts'
export {
  consolidated,
  type GateVerdict,
  judge,
  type SlowTierOptions,
  type SlowVersion,
} from './slow/train-slow-tier.ts'
export { createLearner, type LearnedTurn, type Learner, type LearnerEvent } from './learner.ts'
export type {
  ConsolidateBy,
  GuardOptions,
  LearnerOptions,
  Schedule,
  ScheduledBy,
} from './learner-options.ts'
export type { Consolidated, ConsolidateUserOptions } from './slow/consolidate-user.ts'
export { foldAdapters, type FoldedAdapter } from './slow/fold-adapters.ts'
export type { NumberedVersion } from './user.ts'
export type { LearnerWarning, UserStatistics } from './users/statistics.ts'
export type { FeedbackResult } from './turns/learn-turn.ts'
export { type Example, keyLayer } from './turns/turns.ts'
export { type Places, strategies } from './tiers/tier-targets.ts'
export {
  advantageOf,
  type LearningSignal,
  newRecord,
  type RewardOptions,
  rewardOf,
  type RewardRecord,
} from './turns/reward.ts'
export { ConflictError } from '../base/errors.ts'
export * from './store/index.ts'
