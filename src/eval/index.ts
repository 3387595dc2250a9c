// How well a model or an expert does on rows: metrics as a table, intervals, paired comparisons.

export { compareExperts, type CompareOptions, type ExpertDistance } from './compare-experts.ts'
export { difference, estimate, type Difference, type Estimate } from './estimate.ts'
export {
  evaluate,
  type Candidate,
  type EvaluateOptions,
  type Evaluation,
  type Figure,
  type Result,
} from './evaluate.ts'
export type { Judged, Metric, RowScore } from './metric.ts'
export { metrics } from './metric-table.ts'
export { answerOf, questionsOf, type Question } from './questions.ts'
export { bootstrap, mcnemar, randomisation, wilson, type Interval } from './statistics.ts'
