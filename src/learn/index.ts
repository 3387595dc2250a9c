// A model that learns from every request: tiers of one user over a frozen model's head.

export { type GateState, memoryShare } from './blend.ts'
export { FastTier, type FastTierOptions } from './fast-tier.ts'
export { headErrors as createHeadErrors, type Breadth, type HeadError, type HeadErrors } from './head-error.ts'
export { MemoryTier, type MemoryOptions, type Recall } from './memory-tier.ts'
export { createStudent, type Lesson, type Reading, type Student, type StudentOptions } from './student.ts'
export { consolidated, type GateVerdict, judge, type SlowTierOptions, type SlowVersion } from './consolidate.ts'
export {
  createLearner,
  type ConsolidateUserOptions,
  type Example,
  type FeedbackResult,
  type LearnedTurn,
  type Learner,
  type LearnerEvent,
  type LearnerOptions,
} from './learner.ts'
export { type LearningSignal, rewardOf } from './signal.ts'
export { ConflictError } from '../base/errors.ts'
export * from './store/index.ts'
