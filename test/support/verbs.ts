// The words that a top-level function may start with, and the names that are exempt. A new verb is
// added here when no verb of the table says the same: one verb for one kind of action makes names
// guessable (create… an object with state, open… a resource, read… a typed value from bytes or
// untyped input, parse… from text, find… may be undefined, get… throws, compute… a number).

const verbs = `
accumulate acquire add advance agree align allocate allow announce answer append apply assemble assert assign attach
adapt attempt attend average await
begin bind blend bootstrap broadcast build
cache calibrate call capture center check choose clear clip close collect combine compare compile
complete compose compress compute conclude configure connect consolidate convert copy count create cut
decide declare decode deduplicate define delay dequantize describe detect diagonalize differentiate discount divide double
download draw drop
embed emit encode end escape estimate evaluate exclude expand explain export expose extend extract
factorize fetch fill find finish fit flatten fold follow forget format freeze
gather generate get grade group
handle hash hide
ignore import improve indent index infer initialize insert inspect instantiate interleave interpolate intersect invert isolate iterate
join judge
keep
learn leave limit link list listen load locate look
make map mark match measure memoize merge migrate mirror mix move multiply
normalize note
observe open orthonormalize
pack pad parse pick place plan pluralize pool prepare print project promote prune
publish quantize quote
rank read receive recompute record redact reflect refresh refuse register release remove render rename reorder repair replace report
request
require reserve resolve resume repeat restore reverse revoke rewrite roll rotate round run
sample save scale score search select send serialize serve set share shorten shortlist show shrink shuffle sign simplify simulate
slice smooth solve sort split stack start step store stream stretch stringify strip subtract sum summarize
swap switch sync
take tap teach thaw thin throw time track train transpose tridiagonalize trim truncate
undo unlearn unload unmask unpack unscore untie unwrap update use
validate verify view visit vote
wait warn weigh whiten widen withdraw wrap write
zero
`

/** Questions answered by true or false, conversions, and copies with a change. */
const prefixes = `
is are has can needs should exists as to from with without
`

export const allowedVerbs: ReadonlySet<string> = new Set(
  `${verbs} ${prefixes}`.split(/\s+/).filter((word) => word !== ''),
)

/** Names without a verb, each with its reason. The list may only shrink. */
export const allowedNames: Record<string, string> = {
  f32: 'the element type as a constructor, read as a literal',
  i64: 'the element type as a constructor, read as a literal',
  random: 'the seeded generator; the usual name of a source of random numbers',
  svd: 'textbook name: singular value decomposition',
  qr: 'textbook name: QR decomposition',
  dot: 'textbook name: dot product',
  logSumExp: 'textbook name',
  sigmoid: 'textbook name',
  identity: 'textbook name: the identity function',
  number: 'a field of base/schema.ts, named as the JSON type it declares',
  integer: 'a field of base/schema.ts, named as the JSON type it declares',
  string: 'a field of base/schema.ts, named as the JSON type it declares',
  object: 'a field of base/schema.ts, named as the JSON type it declares',
  flag: 'a field of base/schema.ts: true or false',
  either: 'a field of base/schema.ts: one of several fields',
  unchecked: 'a field of base/schema.ts: any value',
}
