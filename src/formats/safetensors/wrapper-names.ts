// Names that wrappers around a PyTorch module put into the names of its tensors. A file saved
// through torch.compile, FSDP or data parallelism has them by accident.

const wrapperName = /(^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)\.?/g

/** '_orig_mod.model.norm.weight' → 'model.norm.weight'; DDP's 'module.' only in front. */
export const withoutWrapperNames = (name: string): string =>
  name.replace(wrapperName, '$1').replace(/^module\./, '')
