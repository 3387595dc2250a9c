// Evaluation of models and experts on rows: metrics as a table, intervals, paired comparisons.

export { compareExperts, type CompareOptions, type ExpertDistance } from './compare-experts.ts'
export { computeDifference, estimate, type Difference, type Estimate } from './estimate.ts'
export {
  evaluate,
  type Candidate,
  type EvaluateOptions,
  type Evaluation,
  type MetricResult,
  type CandidateResult,
} from './evaluate.ts'
export type { MetricInput, Metric, ExampleScore } from './metric.ts'
export { metrics } from './metric-table.ts'
export {
  checkRequirements,
  type CheckedRequirement,
  describeCheck,
  describeRequirement,
  formatJUnit,
  parseRequirements,
  type ScoreRequirement,
} from './requirements.ts'
export { getAnswer, readQuestions, type Question } from './questions.ts'
export { toScore, type MatcherResult, type ScoreExpectation } from './score-matcher.ts'
export {
  bootstrap,
  computeMcnemarPValue,
  computeRandomisationPValue,
  computeWilsonInterval,
  type ConfidenceInterval,
} from './statistics.ts'
