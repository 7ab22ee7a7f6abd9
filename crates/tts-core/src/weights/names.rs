//! Tensor names of separate FlowLM and Mimi files, as the training code writes them.

use super::{Directory, Result};

/// Renames the tensors of a FlowLM file to those of a single-file model.
pub(super) fn flow_lm(directory: Directory) -> Directory {
    directory.rename(|name| {
        // Tensors used in training only.
        if name.starts_with("flow.w_s_t.")
            || name == "num_ema_updates"
            || name.ends_with(".learnt_padding")
        {
            return None;
        }
        let name = match name {
            "condition_provider.conditioners.transcript_in_segment.embed.weight" => {
                "conditioner.embed.weight".to_owned()
            }
            "condition_provider.conditioners.speaker_wavs.output_proj.weight" => {
                "speaker_proj_weight".to_owned()
            }
            "fuser.padding_value" => "bos_before_voice".to_owned(),
            name => name.replace("self_attn.in_proj_weight", "self_attn.in_proj.weight"),
        };
        Some(format!("flow_lm.{name}"))
    })
}

/// Renames the tensors of a Mimi file to those of a single-file model. From a file that holds a whole
/// model, only Mimi is used.
pub(super) fn mimi(directory: Directory) -> Result<Directory> {
    if directory.any(|name| name.starts_with("mimi.")) {
        let mut directory = directory;
        directory.retain(|name| name.starts_with("mimi."));
        return Ok(directory);
    }
    directory
        .rename(|name| {
            let name = name.strip_prefix("model.").unwrap_or(name);
            // The quantizer and the semantic teacher, used in training only.
            if name.starts_with("quantizer.vq.")
                || name.starts_with("quantizer.logvar_")
                || name.contains("_codebook")
                || name.starts_with("wavlm_")
            {
                return None;
            }
            // The training code wraps every convolution once more.
            let name = name
                .replace(".conv.conv.", ".conv.")
                .replace(".convtr.convtr.", ".convtr.")
                .replace("in_proj_weight", "in_proj.weight");
            Some(format!("mimi.{name}"))
        })
        .join_weight_norms()
}
