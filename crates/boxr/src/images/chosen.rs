//! What `--platform` chooses among the images that one name stands for.

use boxr_image::oci::Platform;
use boxr_image::reference::Reference;
use boxr_image::store::{ImageLayer, ImageRecord, Offer, Store};
use boxr_image::unpack::bytes_in_files;

use super::{Image, Meant, find, platforms, said_platform};
use crate::cli::Invocation;
use crate::report::Report;

/// As [`find`], and for the platform that was said.
///
/// # Errors
/// There is none, or it is not here for this platform.
pub fn find_chosen(store: &Store, invocation: &Invocation, word: &str) -> Result<(Image, Meant), Report> {
    let (image, meant) = find(store, invocation, word)?;
    let name = match &meant {
        Meant::Name(name) => Some(name),
        Meant::Itself => None,
    };
    let record = choose(store, invocation, image.record, name)?;
    Ok((Image { record, names: image.names }, meant))
}

/// Of the images that `name` stands for, which is `image`, the one for the platform that was said.
///
/// # Errors
/// It is not here; `--all-platforms` is said as well.
pub fn choose(
    store: &Store,
    invocation: &Invocation,
    image: ImageRecord,
    name: Option<&Reference>,
) -> Result<ImageRecord, Report> {
    let Some(wanted) = said_platform(invocation)? else { return Ok(image) };
    if invocation.offers("all-platforms") && platforms(invocation) == boxr_image::oci::Platforms::All {
        return Err(Report::new("--platform is one platform, and --all-platforms are all"));
    }
    let offers = store.offers(&image, name)?;
    let fitting = offers.iter().filter_map(|offer| Some((offer.platform.fitness(&wanted)?, offer)));
    // The first of the best.
    match fitting.reduce(|best, next| if next.0 > best.0 { next } else { best }) {
        None => Err(not_here(&image, name, &offers, &wanted)),
        Some((_, best)) if best.manifest == image.manifest => Ok(image),
        Some((_, best)) => {
            let mut chosen = store.any_image(&best.manifest)?;
            if chosen.sources.is_empty() {
                chosen.sources = image.sources;
            }
            Ok(chosen)
        }
    }
}

fn not_here(image: &ImageRecord, name: Option<&Reference>, offers: &[Offer], wanted: &Platform) -> Report {
    let word = name.map_or_else(|| image.config.short().to_owned(), Reference::familiar);
    let mut here: Vec<String> = offers.iter().map(|offer| offer.platform.to_string()).collect();
    here.dedup();
    let report = Report::new(format!("image {word} is here for {}, not for {wanted}", here.join(", ")));
    match name {
        Some(name) => report
            .suggest(format!("boxr pull --platform {wanted} {}", name.familiar()))
            .suggest(format!("boxr pull --all-platforms {}", name.familiar())),
        None => report,
    }
    .status(1)
}

/// Bytes of a layer's files, whether it is unpacked or not; 0 for one that is not here at all.
///
/// # Errors
/// It cannot be read.
pub fn layer_size(store: &Store, layer: &ImageLayer) -> Result<u64, Report> {
    if let Some(known) = store.layer(&layer.diff_id)? {
        return Ok(known.info.size);
    }
    if !store.has_blob(&layer.blob)? {
        return Ok(0);
    }
    let (file, _) = store.open_blob(&layer.blob)?;
    bytes_in_files(file)
        .map_err(|error| Report::new(format!("cannot read layer {}: {error}", layer.blob.short())).status(1))
}
