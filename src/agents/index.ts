// graftlm/agents: roles that share one engine, consensus, and the choice of an expert by its scores
// on similar requests.

export {
  type AgentAnswer,
  type AgentRole,
  type Agents,
  type AskOptions,
  createAgents,
  type CreateAgentsOptions,
} from './create-agents.ts'
export {
  compareConsensus,
  type CompareConsensusOptions,
  type ConsensusResult,
  mergeAgents,
  type MergeAgentsOptions,
} from './compare-consensus.ts'
export { findRoleExpert, type RoleQuery } from './find-role-expert.ts'
export {
  type AgentChoice,
  createPastResults,
  type EmbedTexts,
  type PastResult,
  type PastResults,
  type PastResultsOptions,
} from './past-results.ts'
export { voteAnswers, type VoteOptions, type VoteResult } from './vote-answers.ts'
