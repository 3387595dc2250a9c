// graftlm/route: chooses the expert of a request, with a confidence and a reason.

export { computeCalibrationError, computeCoverage } from './calibration/calibration-error.ts'
export type { CoveragePoint } from './calibration/calibration-error.ts'
export { createRouter } from './create-router.ts'
export type { CreateRouterOptions, LoadRouterOptions, TrainRouterOptions } from './create-router.ts'
export { evaluateRouter, type RouterEvaluation } from './evaluate-router.ts'
export {
  type BaseEmbedder,
  type BaseEmbedderOptions,
  createBaseEmbedder,
} from './features/base-embedder.ts'
export { createMemoEmbedder } from './features/memo-embedder.ts'
export { estimateOffPolicy, type LoggedChoice, type OffPolicyReport } from './log/off-policy.ts'
export {
  type DecisionRecord,
  readRouteLog,
  type RouteLogRow,
  toRouteExamples,
  writeDecisionRow,
  writeOutcomeRow,
} from './log/route-log.ts'
export {
  type LearnedMixture,
  learnMixture,
  type SoupExample,
  type SoupOptions,
} from './mixing/learn-mixture.ts'
export { describeAnswering, mixScores } from './mixing/mix-experts.ts'
export { NextExperts } from './preload/next-experts.ts'
export {
  computeHitRate,
  Preloader,
  type PreloaderParts,
  type PreloadOptions,
  type PreloadStatistics,
} from './preload/preloader.ts'
export { checkRouterFile, type RouterFile } from './router-file.ts'
export { routerKinds } from './router-table.ts'
export type {
  ExpertScore,
  RouteClue,
  RouteDecision,
  RoutedExpert,
  RouteExample,
  RouteFeedback,
  Router,
  RouterKind,
  RouteRequest,
  TextEmbedder,
} from './router.ts'
export type { KeywordRule } from './routers/keyword-rules.ts'
